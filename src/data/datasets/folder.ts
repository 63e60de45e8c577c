import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { aPath, checkArgument } from '../../native/arguments.ts';
import { FileError } from '../../native/errors.ts';
import { reasonOf } from '../../native/files.ts';
import { readRange } from '../read.ts';
import { type IndexedDataset, ListDataset } from './indexed.ts';
import { describe, imageEndings, MAX_TEXT_BYTES, splitFileName, textEndings } from './pairing.ts';
import { oneEach } from './records.ts';
import type { Entry, GroupingOptions, Sample } from './sample.ts';

/**
 * Pictures in a folder and the folders in it, each with its description beside it: `cat.jpg` (`.jpeg`, `.png`, `.webp`) with `cat.txt`, a caption, or
 * `cat.json`, `{ caption | captions, image_id }`. Links to files are followed, links to folders are not. A picture without a caption is a broken
 * sample. Without an `image_id` the picture's path is its id.
 *
 * @throws FileError for a folder that cannot be read or holds no pictures.
 */
export async function imageFolder(folder: string, options: GroupingOptions = {}): Promise<IndexedDataset> {
  checkArgument('folder', folder, aPath);
  const files = new Map<string, Set<string>>();
  for (const name of await listed(folder)) {
    const { key, ending } = splitFileName(name) ?? { key: '', ending: '' };
    if (!imageEndings.includes(ending) && !textEndings.includes(ending)) continue;
    const endings = files.get(key) ?? new Set();
    files.set(key, endings.add(name.slice(key.length + 1))); // as the file has it: upper or lower case
  }
  const entries: Entry[] = [];
  for (const [key, endings] of files) {
    const find = (wanted: string): string | undefined => [...endings].find((ending) => ending.toLowerCase() === wanted);
    const image = imageEndings.map(find).find((ending) => ending !== undefined);
    if (image === undefined) continue;
    const picture = describedIn(folder, key, image, find('txt'), find('json'));
    if ('problem' in picture || options.grouped) entries.push(picture);
    else entries.push(...oneEach(picture));
  }
  if (entries.length === 0) throw new FileError(folder, `expected pictures (${imageEndings.join(', ')}) but there are none`);
  return new ListDataset(path.basename(path.resolve(folder)), entries);
}

function describedIn(folder: string, key: string, image: string, text: string | undefined, json: string | undefined): Entry {
  const name = `${key}.${image}`;
  const read = (ending: string | undefined): Uint8Array | undefined => {
    const file = path.join(folder, `${key}.${ending}`);
    return ending === undefined ? undefined : readRange({ file, name: file }, MAX_TEXT_BYTES);
  };
  const file = path.join(folder, name);
  try {
    const { captions, imageId = name } = describe(path.join(folder, key), read(text), read(json));
    return { key: name, image: { file, name: file }, captions, imageId } satisfies Sample;
  } catch (error) {
    if (error instanceof FileError) return { key: name, problem: error.message };
    throw error;
  }
}

/** The files in a folder and below, by their paths from it, in an order that does not depend on the file system. */
async function listed(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile() || entry.isSymbolicLink())
      .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)).split(path.sep).join('/'))
      .sort();
  } catch (error) {
    throw new FileError(folder, `cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}
