import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ArgumentError } from '../../native/errors.ts';
import { reasonOf } from '../../native/files.ts';
import { ImageError } from './error.ts';

/** Pixels as they are, row by row: a canvas's `ImageData` is of this kind. */
export interface RawImage {
  /** Bytes, `height · width · channels` of them, the channels of a pixel next to each other. */
  readonly data: Uint8Array | Uint8ClampedArray;
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  /** 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; what the data's length says unless told. */
  readonly channels?: number;
}

/** A picture: a file's path or `file:` URL, the bytes of a file, or pixels. */
export type ImageSource = string | URL | Uint8Array | ArrayBuffer | RawImage;

export function isRawImage(source: ImageSource): source is RawImage {
  return typeof source === 'object' && source !== null && 'data' in source && 'width' in source && 'height' in source;
}

/** A picture file's bytes, and what to call it in errors. */
export interface Encoded {
  readonly bytes: Uint8Array;
  readonly name: string;
}

/** Makes sure that a picture is of a kind that is decoded here. */
export function checkKind({ bytes, name }: Encoded): void {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (FORMATS.some((matches) => matches(file))) return;
  const what = file.length === 0 ? 'it is empty' : 'it is none';
  throw new ImageError(name, `expected a JPEG, PNG, WebP, GIF, TIFF or AVIF picture but ${what}`);
}

/** Reads a picture file; bytes have no name but the given one. */
export async function readEncoded(source: Exclude<ImageSource, RawImage>, name = 'the given bytes'): Promise<Encoded> {
  if (ArrayBuffer.isView(source)) return { bytes: new Uint8Array(source.buffer, source.byteOffset, source.byteLength), name };
  if (Object.prototype.toString.call(source) === '[object ArrayBuffer]') {
    return { bytes: new Uint8Array(source as ArrayBuffer), name };
  }
  const file = pathOf(source as string | URL);
  try {
    return { bytes: await readWhole(file), name: file };
  } catch (error) {
    if (error instanceof ImageError) throw error;
    throw new ImageError(file, `cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

const open = promisify(fs.open);
const read = promisify(fs.read);

/** Of the four calls only those that may wait for the disk go to other threads, which costs more than they take. */
async function readWhole(file: string): Promise<Uint8Array> {
  const descriptor = await open(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK); // a pipe would block until someone writes
  try {
    const status = fs.fstatSync(descriptor);
    if (!status.isFile()) throw new ImageError(file, 'expected a regular file'); // a device would never end
    const bytes = Buffer.allocUnsafeSlow(status.size);
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await read(descriptor, bytes, done, Math.min(bytes.length - done, 2 ** 30), done);
      if (bytesRead === 0) return bytes.subarray(0, done);
      done += bytesRead;
    }
    return bytes;
  } finally {
    fs.closeSync(descriptor);
  }
}

function pathOf(source: string | URL): string {
  if (typeof source === 'string' && !/^[a-z][a-z0-9+.-]+:\/\//i.test(source)) return source;
  const url = source instanceof URL || typeof source === 'string' ? String(source) : '';
  if (!url.startsWith('file:')) {
    throw new ArgumentError(
      'source',
      'a path, a file: URL, bytes or pixels',
      url === '' ? typeof source : JSON.stringify(url.slice(0, 200)),
    );
  }
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw new ArgumentError('source', 'a file: URL of this computer', JSON.stringify(url.slice(0, 200)), { cause: error });
  }
}

const starts = (...bytes: readonly number[]): ((file: Buffer) => boolean) => {
  const signature = Buffer.from(bytes);
  return (file) => file.subarray(0, signature.length).equals(signature);
};

// The first bytes of the formats that are decoded. The decoder itself knows more, such as SVG, which can be made to work without end.
const FORMATS: readonly ((file: Buffer) => boolean)[] = [
  starts(0xff, 0xd8, 0xff), // JPEG
  starts(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a), // PNG
  (file) => /^GIF8[79]a$/.test(file.toString('latin1', 0, 6)),
  (file) => /^RIFF.{4}WEBP$/s.test(file.toString('latin1', 0, 12)),
  starts(0x49, 0x49, 0x2a, 0x00), // TIFF, little-endian
  starts(0x4d, 0x4d, 0x00, 0x2a), // TIFF, big-endian
  (file) => /^ftyp(?:avif|avis|mif1|msf1)$/.test(file.toString('latin1', 4, 12)), // AVIF
];
