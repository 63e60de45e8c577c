import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { anObject, aPath, arrayOf, checkArgument } from '../../native/arguments.ts';
import { ArgumentError, FileError } from '../../native/errors.ts';
import { reasonOf } from '../../native/files.ts';
import type { Dataset, GroupingOptions, SampleStream, StreamOptions } from './sample.ts';
import { ShardStream } from './shard-stream.ts';

/** Options of {@link webDataset}. */
export interface WebDatasetOptions extends GroupingOptions {
  /** How many samples are held back to be drawn from at random; 2,000 unless told. */
  buffer?: number;
  /** What a damaged tar does: `'stop'` (unless told) is an error; with `'skip'` what is left of it counts as one broken sample. */
  damaged?: 'stop' | 'skip';
  /** How many samples there are, which mixtures go by if they have no weights. */
  length?: number;
}

/** Tars of pictures and captions. */
export interface WebDataset extends Dataset {
  /** The tars' paths. */
  readonly shards: readonly string[];
}

/**
 * WebDataset shards: tars in which the files of one sample follow one another and have one name but for the ending: `0001.jpg` (`.jpeg`,
 * `.png`, `.webp`) with `0001.txt`, a caption, or `0001.json`, `{ caption | captions, image_id }`. Without an `image_id` the tar's name
 * with the sample's is the id, as many count anew in every tar. Shuffled, every epoch takes the tars in an order of its own, and samples are
 * drawn from a buffer. The tars are read in place, and the buffer holds where the pictures are, not their bytes.
 *
 * @param shards a folder of `.tar` files, or paths, in which `{0000..0127}` stands for a range of numbers
 * @throws FileError where there are no tars; the stream throws a TarError for one that is damaged or hostile.
 */
export async function webDataset(shards: string | readonly string[], options: WebDatasetOptions = {}): Promise<WebDataset> {
  checkArgument('shards', [shards].flat(), arrayOf(aPath));
  checkArgument('options', options, anObject);
  const { grouped = false, buffer = 2000, damaged = 'stop', length } = options;
  if (!Number.isInteger(buffer) || buffer < 1) throw new ArgumentError('buffer', 'a whole number from 1', String(buffer));
  if (damaged !== 'stop' && damaged !== 'skip') throw new ArgumentError('damaged', "'stop' or 'skip'", String(damaged));
  const paths = (await Promise.all([shards].flat().flatMap(expanded).map(tarsOf))).flat();
  if (new Set(paths).size < paths.length) throw new ArgumentError('shards', 'each tar once', 'some twice');
  if (paths.length === 0) throw new FileError(String(shards), 'expected .tar files but there are none');
  return {
    name: path.basename(path.resolve(paths.length === 1 ? (paths[0] as string) : path.dirname(paths[0] as string))),
    length,
    fingerprint: JSON.stringify(await Promise.all(paths.map(async (tar) => [path.basename(tar), (await stat(tar)).size]))),
    shards: paths,
    stream: (streaming: StreamOptions): SampleStream => new ShardStream(paths, { grouped, buffer, damaged }, streaming),
  };
}

/** The tars in a folder, by name; a file is itself. */
async function tarsOf(place: string): Promise<string[]> {
  try {
    if (!(await stat(place)).isDirectory()) {
      if (!place.endsWith('.tar')) throw new FileError(place, 'expected a .tar file, not compressed');
      return [place];
    }
    const names = (await readdir(place)).filter((name) => name.endsWith('.tar')).sort();
    return names.map((name) => path.join(place, name));
  } catch (error) {
    throw error instanceof FileError ? error : new FileError(place, `cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

const MAX_SHARDS = 1_000_000;

/** `a-{000..012}.tar` as the names it stands for, with leading zeros as in the first number. */
function expanded(pattern: string): string[] {
  const match = /^(.*?)\{(\d{1,15})\.\.(\d{1,15})\}(.*)$/s.exec(pattern);
  if (match === null) return [pattern];
  const [, before = '', first = '', last = '', after = ''] = match;
  const count = Number(last) - Number(first) + 1;
  if (count < 1 || count > MAX_SHARDS)
    throw new ArgumentError('shards', `a range of 1 to ${MAX_SHARDS} tars`, pattern.slice(0, 200));
  const numbers = Array.from({ length: count }, (_, i) => String(Number(first) + i).padStart(first.length, '0'));
  return numbers.flatMap((number) => expanded(`${before}${number}${after}`));
}
