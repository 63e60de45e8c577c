import { createWriteStream, statSync } from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import yauzl from 'yauzl';
import { FileError } from '../native/errors.ts';
import { makeFolder } from '../native/files.ts';

// The largest wheels that are asked for hold about 1 GB; more than this is no libtorch.
const largestArchive = 16e9;
// Wheels unpack to about four times their size, an archive made to fill disks to a thousand times.
const largestRatio = 100;
// A wheel of torch holds about 13,000 files.
const mostEntries = 200_000;

/** Where an entry of an archive goes, below the target folder; undefined leaves it out. */
export type Place = (entry: string) => string | undefined;

/**
 * Unpacks those entries of a zip archive that `place` gives a place, as plain files: no links, nothing outside `folder`. Returns how many.
 * `onBytes` is told the bytes done and the bytes in all.
 * @throws FileError where the archive is damaged, an entry would go elsewhere, or it unpacks to absurdly much; or the folder cannot be written.
 */
export async function unpack(
  archive: string,
  folder: string,
  place: Place,
  onBytes: (done: number, all: number) => void,
): Promise<number> {
  try {
    // A pipe would be waited for without end.
    if (!statSync(archive).isFile()) throw new FileError(archive, 'expected a regular file');
    const zip = await yauzl.openPromise(archive, { lazyEntries: true, autoClose: false });
    try {
      const wanted = await choose(zip, archive, path.resolve(folder), place);
      const all = wanted.reduce((sum, { entry }) => sum + entry.uncompressedSize, 0);
      if (all > largestArchive) throw new FileError(archive, `unpacks to ${all} bytes, more than any libtorch`);
      if (all > largestRatio * zip.fileSize) {
        throw new FileError(archive, `unpacks to ${all} bytes, more than ${largestRatio} times its own size`);
      }
      let done = 0;
      onBytes(0, all);
      for (const { entry, file } of wanted) {
        makeFolder(path.dirname(file));
        let checksum = 0;
        await pipeline(
          await zip.openReadStreamPromise(entry),
          async function* (chunks: AsyncIterable<Buffer>) {
            for await (const chunk of chunks) {
              done += chunk.length;
              checksum = crc32(chunk, checksum);
              onBytes(done, all);
              yield chunk;
            }
          },
          createWriteStream(file, { flags: 'wx', mode: 0o644 }),
        );
        if (checksum !== entry.crc32) throw new FileError(archive, `the content of its entry ${entry.fileName} is damaged`);
      }
      return wanted.length;
    } finally {
      zip.close();
    }
  } catch (error) {
    if (error instanceof FileError) throw error;
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
  if (zip.entryCount > mostEntries) throw new FileError(archive, `holds ${zip.entryCount} entries, more than any libtorch`);
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
