import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { FileError } from './errors.ts';

/** The system's reason of a failed file operation, such as "ENOENT: no such file or directory". */
export function reasonOf(error: unknown): string {
  // No instanceof: an error of Node's own may come from another realm.
  const message = typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error);
  return message.replace(/, \w+ '.*'( -> '.*')?$/s, '');
}

/**
 * Makes a folder and those that it lies in, where they are not there. Node's own way tries for ever where the system lets nobody make one, as in /proc.
 * Throws the system's errors.
 */
export function makeFolder(folder: string): void {
  const parent = path.dirname(path.resolve(folder));
  if (!fs.existsSync(parent)) makeFolder(parent);
  try {
    fs.mkdirSync(folder);
  } catch (error) {
    if (!fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}

/** Appends bytes to the file that is being written. */
export type Write = (bytes: Uint8Array) => void;

/**
 * A temporary file beside `file` with what `body` writes, already on the disk. `commit` renames it to `file`, `discard` removes it.
 *
 * @throws FileError when the folder cannot be written or the disk is full; what `body` throws passes, and nothing is left behind.
 */
export function stageFile(file: string, body: (write: Write) => void): { commit(): void; discard(): void } {
  const folder = path.dirname(path.resolve(file));
  const temporary = path.join(folder, `.${path.basename(file)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`);
  const attempt = <T>(step: () => T): T => {
    try {
      return step();
    } catch (error) {
      throw new FileError(file, `cannot be written: ${reasonOf(error)}`, { cause: error });
    }
  };
  const discard = (): void => fs.rmSync(temporary, { force: true });
  const descriptor = attempt(() => fs.openSync(temporary, 'wx'));
  try {
    try {
      body((bytes) => {
        for (let done = 0; done < bytes.byteLength; ) done += attempt(() => fs.writeSync(descriptor, bytes, done));
      });
      attempt(() => fs.fsyncSync(descriptor));
    } finally {
      fs.closeSync(descriptor);
    }
  } catch (error) {
    discard();
    throw error;
  }
  const commit = (): void => {
    attempt(() => fs.renameSync(temporary, file));
    const directory = attempt(() => fs.openSync(folder, 'r')); // the new name is on the disk only with its folder
    try {
      fs.fsyncSync(directory);
    } finally {
      fs.closeSync(directory);
    }
  };
  return { commit, discard };
}

/** Writes a file so that at every moment either the old or the new one is there, whole. */
export function writeFileAtomically(file: string, content: string | Uint8Array): void {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  stageFile(file, (write) => write(bytes)).commit();
}

/** Reads a whole file of at most `maxBytes`. */
export function readBytes(file: string, maxBytes: number): Buffer {
  let bytes: Buffer;
  try {
    const stat = fs.statSync(file);
    // A pipe or a device would never end.
    if (!stat.isFile())
      throw new FileError(file, stat.isDirectory() ? 'expected a file but it is a folder' : 'expected a regular file');
    const { size } = stat;
    if (size > maxBytes) throw new FileError(file, `expected at most ${maxBytes} bytes but it has ${size}`);
    bytes = fs.readFileSync(file);
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw new FileError(file, `cannot be read: ${reasonOf(error)}`, { cause: error });
  }
  return bytes;
}

/** A value of a JSON text. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const MAX_DEPTH = 64;

/**
 * Reads a JSON file that may come from anyone: at most `maxBytes` (32 MiB unless told), UTF-8, and nested at most 64 deep, which bounds
 * the memory that parsing takes.
 *
 * @throws FileError
 */
export function readJson(file: string, maxBytes = 2 ** 25): Json {
  return parseJson(file, readBytes(file, maxBytes));
}

/**
 * Parses JSON that may come from anyone.
 *
 * @param name what to call it in errors
 * @throws FileError
 */
export function parseJson(name: string, bytes: Uint8Array): Json {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new FileError(name, 'expected JSON but it is not UTF-8 text', { cause: error });
  }
  if (depthOf(bytes) > MAX_DEPTH) throw new FileError(name, `expected JSON nested at most ${MAX_DEPTH} deep`);
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw new FileError(name, `expected JSON: ${reasonOf(error)}`, { cause: error });
  }
}

/** The same for a file that must hold an object. */
export function readJsonObject(file: string, maxBytes?: number): { readonly [key: string]: Json } {
  const value = readJson(file, maxBytes);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new FileError(file, 'expected a JSON object');
  return value as { readonly [key: string]: Json };
}

/** How deep brackets nest outside strings; the characters that matter are single bytes in UTF-8. */
function depthOf(bytes: Uint8Array): number {
  let deepest = 0;
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (quoted) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) quoted = false;
    } else if (byte === 0x22) quoted = true;
    else if (byte === 0x5b || byte === 0x7b) deepest = Math.max(deepest, ++depth);
    else if (byte === 0x5d || byte === 0x7d) depth--;
  }
  return deepest;
}
