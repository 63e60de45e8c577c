import { createWriteStream, mkdirSync } from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import yauzl from 'yauzl';
import { FileError } from '../native/errors.ts';

// The largest wheels that are asked for hold about 1 GB; more than this is no libtorch.
const largestArchive = 16e9;

/** Where an entry of an archive goes, below the target folder; undefined leaves it out. */
export type Place = (entry: string) => string | undefined;

/**
 * Unpacks those entries of a zip archive that `place` gives a place, as plain files: no links, nothing outside `folder`. Returns how many.
 * `onBytes` is told the bytes done and the bytes in all.
 * @throws FileError where the archive is damaged, or an entry would go elsewhere or is absurdly large.
 */
export async function unpack(
  archive: string,
  folder: string,
  place: Place,
  onBytes: (done: number, all: number) => void,
): Promise<number> {
  try {
    const zip = await yauzl.openPromise(archive, { lazyEntries: true, autoClose: false });
    try {
      const wanted = await choose(zip, archive, path.resolve(folder), place);
      const all = wanted.reduce((sum, { entry }) => sum + entry.uncompressedSize, 0);
      if (all > largestArchive) throw new FileError(archive, `unpacks to ${all} bytes, more than any libtorch`);
      let done = 0;
      onBytes(0, all);
      for (const { entry, file } of wanted) {
        mkdirSync(path.dirname(file), { recursive: true });
        await pipeline(
          await zip.openReadStreamPromise(entry),
          async function* (chunks: AsyncIterable<Buffer>) {
            for await (const chunk of chunks) {
              done += chunk.length;
              onBytes(done, all);
              yield chunk;
            }
          },
          createWriteStream(file, { flags: 'wx', mode: 0o644 }),
        );
      }
      return wanted.length;
    } finally {
      zip.close();
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (error instanceof FileError || (code !== undefined && code !== 'ENOENT')) throw error;
    throw new FileError(archive, `cannot be unpacked: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

interface Wanted {
  entry: yauzl.Entry;
  file: string;
}

// Everything is looked at before anything is written.
async function choose(zip: yauzl.ZipFile, archive: string, folder: string, place: Place): Promise<Wanted[]> {
  const wanted: Wanted[] = [];
  for await (const entry of zip.eachEntry()) {
    if (entry.fileName.endsWith('/')) continue;
    const target = place(entry.fileName);
    if (target === undefined) continue;
    const file = path.resolve(folder, target);
    if (!file.startsWith(folder + path.sep))
      throw new FileError(archive, `its entry ${entry.fileName} points outside the archive`);
    wanted.push({ entry, file });
  }
  return wanted;
}
