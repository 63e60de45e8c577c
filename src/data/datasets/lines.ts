import fs from 'node:fs';
import { FileError } from '../../native/errors.ts';
import { reasonOf } from '../../native/files.ts';

/** A line of a text file. */
export interface Line {
  /** Without what ends it. */
  readonly bytes: Uint8Array;
  /** Where in the file it starts. */
  readonly start: number;
  /** Counted from 1. */
  readonly number: number;
}

const MAX_BYTES = 2 ** 24;

/** The lines of a text file, empty ones too, read in pieces. */
export async function* linesOf(file: string): AsyncGenerator<Line> {
  await checkFile(file);
  const pieces = fs.createReadStream(file, { highWaterMark: 2 ** 20 });
  let rest: Buffer = Buffer.alloc(0);
  let start = 0;
  let number = 1;
  try {
    for await (const piece of pieces as AsyncIterable<Buffer>) {
      const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
      let from = 0;
      for (let to = bytes.indexOf(0x0a); to >= 0; to = bytes.indexOf(0x0a, from)) {
        yield { bytes: bytes.subarray(from, to), start: start + from, number: number++ };
        from = to + 1;
      }
      rest = bytes.subarray(from);
      start += from;
      if (rest.length > MAX_BYTES) throw new FileError(file, `line ${number}: expected at most ${MAX_BYTES} bytes`);
    }
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw new FileError(file, `cannot be read: ${reasonOf(error)}`, { cause: error });
  }
  if (rest.length > 0) yield { bytes: rest, start, number };
}

/** A pipe or a device would never end. */
async function checkFile(file: string): Promise<void> {
  const status = await fs.promises.stat(file).catch((error: unknown) => {
    throw new FileError(file, `cannot be read: ${reasonOf(error)}`, { cause: error });
  });
  if (!status.isFile()) throw new FileError(file, 'expected a regular file');
}
