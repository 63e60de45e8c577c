import { createHash, type Hash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileError } from '../native/errors.ts';
import { makeFolder, reasonOf } from '../native/files.ts';
import type { RemoteFile } from './client.ts';
import { HubError } from './errors.ts';

/** Attempts that bring nothing before a transfer is given up. */
const ATTEMPTS = 4;
const PAUSE = 250;

/** One file's way into the cache. */
export interface Transfer {
  /** The repository, for errors. */
  readonly id: string;
  /** The file's name, for errors. */
  readonly name: string;
  readonly file: RemoteFile;
  /** Where its content is to be. */
  readonly target: string;
  readonly signal: AbortSignal | undefined;
  /** The bytes from an offset on; after a first failure plainly. */
  open(from: number, plain: boolean): Promise<ReadableStream<Uint8Array>>;
  /** Told how much of the file is there. */
  onBytes(there: number): void;
}

/**
 * Brings a file's content to its place, whole and checked by size and digest, or not at all. What has come before an interruption stays beside it as
 * `….incomplete`, which nothing reads, and the next attempt, now or later, goes on from there.
 * @throws HubError where it does not come, or is other than the Hub says; FileError where it cannot be written
 */
export async function transfer(job: Transfer): Promise<void> {
  const { id, name, file, target, signal } = job;
  const part = `${target}.incomplete`;
  attempt(target, () => makeFolder(path.dirname(target)));
  for (let failures = 0; ; ) {
    signal?.throwIfAborted();
    const before = there(part, file.size);
    let isOther = false;
    try {
      const hash = await hashed(part, before, file);
      if (before < file.size) await append(job, part, before, hash, failures > 0);
      if (hash.digest('hex') === file.digest) break;
      fs.rmSync(part, { force: true });
      isOther = before === 0; // otherwise it may be what was there before
      throw new HubError('ERR_HUB', id, `what came as ${name} has not the digest ${file.digest} that the Hub lists`);
    } catch (error) {
      signal?.throwIfAborted();
      const final =
        isOther || error instanceof FileError || (error instanceof HubError && error.status !== undefined && error.status < 500);
      if (there(part, file.size) > before) failures = 0;
      if (final || ++failures === ATTEMPTS) throw error;
      await sleep(PAUSE * failures, undefined, signal === undefined ? {} : { signal });
    }
  }
  attempt(target, () => fs.renameSync(part, target));
}

/** How much of a file has come; what is more than the file is none of it. */
function there(part: string, size: number): number {
  const came = fs.statSync(part, { throwIfNoEntry: false })?.size ?? 0;
  if (came > size) fs.rmSync(part);
  return came > size ? 0 : came;
}

/** The digest's beginning, over what is there. */
async function hashed(part: string, came: number, { digest, size }: RemoteFile): Promise<Hash> {
  const large = digest.length === 64;
  const hash = createHash(large ? 'sha256' : 'sha1');
  if (!large) hash.update(`blob ${size}\0`); // as git names contents
  if (came > 0) for await (const chunk of fs.createReadStream(part, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash;
}

async function append(job: Transfer, part: string, from: number, hash: Hash, plain: boolean): Promise<void> {
  const { id, name, file, signal, onBytes } = job;
  const stream = await job.open(from, plain);
  const descriptor = attempt(part, () => fs.openSync(part, 'a'));
  let came = from;
  try {
    onBytes(came);
    const body = Readable.fromWeb(stream as Parameters<typeof Readable.fromWeb>[0], signal === undefined ? {} : { signal });
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      if (came + chunk.byteLength > file.size) {
        fs.rmSync(part, { force: true }); // a server without ranges began anew
        throw new Error(`more than its ${file.size} bytes`);
      }
      for (let done = 0; done < chunk.byteLength; ) done += attempt(part, () => fs.writeSync(descriptor, chunk, done));
      hash.update(chunk);
      came += chunk.byteLength;
      onBytes(came);
    }
    if (came < file.size) throw new Error(`${came} of its ${file.size} bytes`);
    attempt(part, () => fs.fsyncSync(descriptor));
  } catch (error) {
    if (error instanceof FileError || signal?.aborted) throw error;
    throw new HubError('ERR_HUB_OFFLINE', id, `the transfer of ${name} broke off: ${reasonOf(error)}`, { cause: error });
  } finally {
    fs.closeSync(descriptor);
  }
}

function attempt<T>(file: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw new FileError(file, `cannot be written: ${reasonOf(error)}`, { cause: error });
  }
}
