import fs from 'node:fs';
import { FileError } from '../native/errors.ts';
import { reasonOf } from '../native/files.ts';
import type { ImageLocation } from './datasets/sample.ts';

/**
 * The bytes of a file or of a part of one, at most `maxBytes` (1 GiB unless told). It waits for the disk, so it is for threads that may.
 *
 * @throws FileError named as the location says
 */
export function readRange({ file, offset = 0, size, name }: ImageLocation, maxBytes = 2 ** 30): Buffer {
  let descriptor: number | undefined;
  try {
    descriptor = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK); // a pipe would block until someone writes
    let length = size;
    if (length === undefined) {
      const status = fs.fstatSync(descriptor);
      if (!status.isFile()) throw new FileError(name, 'expected a regular file');
      length = status.size - offset;
    }
    if (length > maxBytes) throw new FileError(name, `expected at most ${maxBytes} bytes but it has ${length}`);
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const read = fs.readSync(descriptor, bytes, done, length - done, offset + done);
      if (read === 0) throw new FileError(name, `is cut off: expected ${length} bytes but there are ${done}`);
      done += read;
    }
    return bytes;
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw new FileError(name, `cannot be read: ${reasonOf(error)}`, { cause: error });
  } finally {
    if (descriptor !== undefined) fs.closeSync(descriptor);
  }
}
