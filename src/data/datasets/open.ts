import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import path from 'node:path';
import { aString, checkArgument, checkKeys } from '../../native/arguments.ts';
import { ArgumentError, FileError } from '../../native/errors.ts';
import { JsonFields, shown } from '../../native/fields.ts';
import { reasonOf } from '../../native/files.ts';
import { openCoco } from './coco.ts';
import { imageFolder } from './folder.ts';
import { jsonLines } from './json-lines.ts';
import { mixture } from './mixture.ts';
import type { Dataset, GroupingOptions } from './sample.ts';
import { webDataset } from './web-dataset.ts';

/** The formats that pictures with captions can be in. */
export type DatasetFormat = 'coco' | 'jsonl' | 'webdataset' | 'folder';

/** Where pictures with captions are. */
export interface DatasetSource {
  /** A file or folder; of tars also a pattern, `cc3m/{00000..00331}.tar` or `cc3m/*.tar`. */
  readonly path: string;
  /** Found from what is there unless told. */
  readonly format?: DatasetFormat;
  /** The folder that pictures' names in a file start from; the file's own unless told. */
  readonly images?: string;
  /** The parts of Karpathy's split that are taken; a file that has none is refused. */
  readonly splits?: readonly string[];
  /** In a mixture: how often samples come from it, in proportion to the others' weights; its length unless told. */
  readonly weight?: number;
  /** In a mixture: what goes before its pictures' ids. */
  readonly name?: string;
  /** How many samples tars hold, where the mixture is to go by that. */
  readonly length?: number;
  /** Of tars: whether a damaged one stops everything, as it does unless told, or what is left of it is skipped, as one broken sample. */
  readonly damaged?: 'stop' | 'skip';
}

/** Options of {@link openDataset}: what holds for every source that it can mean something to, and that does not say otherwise. */
export interface OpenDatasetOptions extends GroupingOptions, Pick<DatasetSource, 'images' | 'splits'> {}

const FORMATS: readonly DatasetFormat[] = ['coco', 'jsonl', 'webdataset', 'folder'];
const SETTING = /,(images|split|weight|name|length|damaged)=([^,]*)$/;

/**
 * Reads a source as it is written on a command line: `[format:]path[,key=value…]`, with the keys `images`, `split` (several joined by `+`),
 * `weight`, `name`, `length` and `damaged`. So `coco:karpathy.json,images=coco,split=val+test` or `cc3m/*.tar,weight=2`.
 *
 * @throws ArgumentError for a value that is not as expected
 */
export function parseDatasetSource(text: string): DatasetSource {
  checkArgument('data', text, aString);
  const settings: Record<string, string> = {};
  let rest = text;
  for (let match = SETTING.exec(rest); match !== null; match = SETTING.exec(rest)) {
    settings[match[1] as string] = match[2] as string;
    rest = rest.slice(0, match.index);
  }
  const format = FORMATS.find((name) => rest.startsWith(`${name}:`));
  const place = format === undefined ? rest : rest.slice(format.length + 1);
  if (place === '') throw new ArgumentError('data', 'a path', shown(text));
  const number = (name: 'weight' | 'length') => {
    const value = settings[name];
    if (value === undefined) return {};
    if (value === '' || !(Number(value) > 0)) throw new ArgumentError(`data.${name}`, 'a number above 0', shown(value));
    return { [name]: Number(value) };
  };
  const { images, split, name, damaged } = settings;
  return {
    path: place,
    ...(format === undefined ? {} : { format }),
    ...(images === undefined ? {} : { images }),
    ...(split === undefined ? {} : { splits: split.split('+') }),
    ...number('weight'),
    ...number('length'),
    ...(name === undefined ? {} : { name }),
    ...(damaged === undefined ? {} : { damaged: damaged as 'skip' }), // looked at with all others, when it is opened
  };
}

/**
 * Opens pictures with captions, in whatever format they are; several sources become a {@link mixture}.
 *
 * @param sources each an object, or text as {@link parseDatasetSource} reads it
 * @throws FileError for what cannot be read or is of no known format; ArgumentError for a source that is not as expected
 */
export async function openDataset(
  sources: string | DatasetSource | readonly (string | DatasetSource)[],
  options: OpenDatasetOptions = {},
): Promise<Dataset> {
  const list = [sources].flat().map(sourceOf);
  if (list.length === 0) throw new ArgumentError('data', 'a file or folder of pictures with captions', 'none');
  const opened = await Promise.all(list.map(async (source) => ({ source, dataset: await openOne(source, options) })));
  const [first] = opened;
  if (first !== undefined && opened.length === 1) return first.dataset;
  const names = opened.map(({ source, dataset }) => source.name ?? dataset.name);
  return mixture(
    opened.map(({ source: { weight, path: place, name }, dataset }, i) => {
      const own = names[i] as string;
      const isTwice = name === undefined && names.indexOf(own) !== names.lastIndexOf(own);
      return { dataset, name: isTwice ? place : own, ...(weight === undefined ? {} : { weight }) };
    }),
  );
}

const KEYS: Record<keyof DatasetSource, true> = {
  path: true,
  format: true,
  images: true,
  splits: true,
  weight: true,
  name: true,
  length: true,
  damaged: true,
};

/** Objects may come from a file that anybody wrote, and are looked at field by field. */
function sourceOf(source: string | DatasetSource): DatasetSource {
  if (typeof source === 'string') return parseDatasetSource(source);
  const fields = new JsonFields(source, 'data', (field, expected, received) => new ArgumentError(field, expected, received));
  checkKeys('data', source, Object.keys(KEYS));
  if (fields.text('path') === undefined) throw fields.refusal('path', 'a file or folder');
  for (const name of ['format', 'images', 'name', 'damaged'] as const) fields.text(name);
  if (fields.list('splits')?.every((split) => typeof split === 'string') === false)
    throw fields.refusal('splits', 'a list of names');
  for (const name of ['weight', 'length'] as const) fields.positive(name, 1);
  return source;
}

/** What can be said of a source, by its format. */
const SAID: Readonly<Record<DatasetFormat, readonly (keyof DatasetSource)[]>> = {
  coco: ['images', 'splits'],
  jsonl: ['images'],
  webdataset: ['length', 'damaged'],
  folder: [],
};

/** What a source says itself and its format knows nothing of is an error: who names a part would get the whole. */
function checkSaid(source: DatasetSource, format: DatasetFormat): void {
  for (const name of ['images', 'splits', 'length', 'damaged'] as const) {
    if (source[name] === undefined || SAID[format].includes(name)) continue;
    const formats = FORMATS.filter((other) => SAID[other].includes(name)).join(' or ');
    throw new ArgumentError(
      `data.${name}`,
      `none, as ${source.path} is of the format ${format} and not ${formats},`,
      shown(name === 'splits' ? source.splits?.join('+') : source[name]),
    );
  }
}

async function openOne(source: DatasetSource, options: OpenDatasetOptions): Promise<Dataset> {
  const { path: place, images, splits, length, damaged, grouped = false } = { ...options, ...source };
  const format = source.format ?? formatOf(place);
  if (FORMATS.includes(format)) checkSaid(source, format);
  const folder = images === undefined ? {} : { images };
  switch (format) {
    case 'coco':
      return openCoco(place, { ...folder, grouped, ...(splits === undefined ? {} : { splits }) }, source.splits !== undefined);
    case 'jsonl':
      return jsonLines(place, { ...folder, grouped });
    case 'webdataset':
      return webDataset(matching(place), {
        grouped,
        ...(length === undefined ? {} : { length }),
        ...(damaged === undefined ? {} : { damaged }),
      });
    case 'folder':
      return imageFolder(place, { grouped });
    default:
      throw new ArgumentError('data.format', `one of ${FORMATS.join(', ')}`, shown(format));
  }
}

/** The format of what is at a path, by its name and, for JSON, how it begins. */
function formatOf(place: string): DatasetFormat {
  if (/\.tar$|\{\d+\.\.\d+\}/.test(place)) return 'webdataset';
  if (attempt(place, () => statSync(place).isDirectory())) {
    return listed(place).some((name) => name.endsWith('.tar')) ? 'webdataset' : 'folder';
  }
  if (/\.(jsonl|ndjson)$/i.test(place)) return 'jsonl';
  if (/\.json$/i.test(place)) return attempt(place, () => isJsonLines(place)) ? 'jsonl' : 'coco';
  throw new FileError(
    place,
    `is of no format known by its ending; put one of ${FORMATS.map((name) => `${name}:`).join(', ')} before it`,
  );
}

/** Some call a file of lines `.json`: then its first line is a whole object that names a picture. */
function isJsonLines(file: string): boolean {
  const bytes = Buffer.alloc(2 ** 16);
  const descriptor = openSync(file, 'r');
  try {
    const [first = ''] = bytes.toString('utf8', 0, readSync(descriptor, bytes)).split('\n', 1);
    const value: unknown = JSON.parse(first);
    return typeof value === 'object' && value !== null && 'image' in value;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

/** The tars that `*` in a path's last part stands for. */
function matching(pattern: string): string | string[] {
  const { dir, base } = path.parse(pattern);
  if (!base.includes('*')) return pattern;
  const parts = base.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'));
  const fits = new RegExp(`^${parts.join('.*')}$`, 's');
  const names = listed(dir === '' ? '.' : dir).filter((name) => fits.test(name) && !name.startsWith('.'));
  if (names.length === 0) throw new FileError(pattern, 'expected .tar files but there are none');
  return names.sort().map((name) => path.join(dir, name));
}

function listed(folder: string): string[] {
  return attempt(folder, () => readdirSync(folder));
}

function attempt<T>(place: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new FileError(place, `cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}
