import path from 'node:path';
import { anObject, aPath, checkArgument } from '../../native/arguments.ts';
import { ArgumentError, FileError } from '../../native/errors.ts';
import { type Json, readJson } from '../../native/files.ts';
import { FileFields } from '../fields.ts';
import { type IndexedDataset, ListDataset } from './indexed.ts';
import { merged, oneEach, readId, readRecord, sampleOf } from './records.ts';
import type { GroupingOptions, Sample } from './sample.ts';

/** Options of {@link cocoCaptions}. */
export interface CocoOptions extends GroupingOptions {
  /** The folder that the pictures' names start from; the file's own unless told. */
  images?: string;
  /** Which parts of Karpathy's split to take: `train` and `restval`, on which models train, unless told. Other files have no parts. */
  splits?: readonly string[];
}

/** The longest text that JSON.parse can be given. */
const MAX_BYTES = 2 ** 29 - 2 ** 10;

/**
 * Captions of COCO, or of another data set in a format of its:
 *
 * - official: `{ images: [{ id, file_name }], annotations: [{ image_id, caption }] }`;
 * - Karpathy's `dataset_coco.json`: `{ images: [{ filepath, filename, split, cocoid | imgid, sentences: [{ raw }] }] }`;
 * - a list of `{ image, caption, image_id }`, as BLIP and LAVIS have Karpathy's split.
 *
 * @throws FileError naming the field that is not as expected, and for paths that lead out of the folder; ArgumentError for splits of a file that
 *   has none of them
 */
export async function cocoCaptions(file: string, options: CocoOptions = {}): Promise<IndexedDataset> {
  checkArgument('file', file, aPath);
  checkArgument('options', options, anObject);
  return openCoco(file, options, options.splits !== undefined);
}

/**
 * The same.
 * @internal
 * @param demanded whether a file without a split is refused where `splits` says something
 */
export function openCoco(file: string, options: CocoOptions, demanded: boolean): IndexedDataset {
  const { images: folder = path.dirname(file), splits = ['train', 'restval'], grouped = false } = options;
  const json = readJson(file, MAX_BYTES);
  if (demanded && !isSplit(json)) {
    throw new ArgumentError('splits', `none, as ${file} has no split such as Karpathy's,`, splits.join(', '));
  }
  const pictures = [...picturesOf(file, json, folder, splits)];
  if (pictures.length === 0) throw new FileError(file, 'expected pictures with captions but there are none');
  const samples = grouped ? merged(pictures) : pictures.flatMap((picture) => [...oneEach(picture)]);
  return new ListDataset(path.basename(file), samples);
}

/** Whether it may be Karpathy's: in a list of his all pictures are of one part, COCO's own has its captions apart. */
function isSplit(json: Json): boolean {
  return typeof json !== 'object' || json === null || !(Array.isArray(json) || 'annotations' in json);
}

function picturesOf(file: string, json: Json, folder: string, splits: readonly string[]): Iterable<Sample> {
  if (Array.isArray(json)) {
    return json.map((element, i) => {
      const fields = new FileFields(file, element, `[${i}]`);
      return sampleOf(readRecord(fields), folder, fields, 'image', `[${i}] `);
    });
  }
  const whole = new FileFields(file, json);
  const images = whole.children('images');
  if (images === undefined) throw whole.refusal('images', 'a list of pictures');
  const annotations = whole.children('annotations');
  return annotations === undefined ? karpathy(images, folder, splits) : official(images, annotations, folder);
}

function* official(images: readonly FileFields[], annotations: readonly FileFields[], folder: string): Generator<Sample> {
  const captions = new Map<number | string, string[]>();
  for (const image of images) {
    const id = idOf(image, 'id');
    if (captions.has(id)) throw image.refusal('id', 'an id of its own');
    captions.set(id, []);
  }
  for (const annotation of annotations) {
    const list = captions.get(idOf(annotation, 'image_id'));
    if (list === undefined) throw annotation.refusal('image_id', 'the id of one of the images');
    list.push(textOf(annotation, 'caption'));
  }
  for (const image of images) {
    const imageId = idOf(image, 'id');
    const own = captions.get(imageId) as string[];
    if (own.length > 0) yield sampleOf({ image: textOf(image, 'file_name'), captions: own, imageId }, folder, image, 'file_name');
  }
}

function* karpathy(images: readonly FileFields[], folder: string, splits: readonly string[]): Generator<Sample> {
  const present = new Set(images.map((image) => textOf(image, 'split')));
  // Flickr30k has no restval, so that some are missing is no mistake.
  if (!splits.some((split) => present.has(split))) {
    throw new ArgumentError('splits', `one of ${[...present].join(', ')}`, splits.join(', '));
  }
  for (const fields of images) {
    if (!splits.includes(textOf(fields, 'split'))) continue;
    const captions = fields.children('sentences')?.map((sentence) => textOf(sentence, 'raw')) ?? [];
    if (captions.length === 0) throw fields.refusal('sentences', 'a list of captions');
    const imageId = readId(fields, 'cocoid') ?? idOf(fields, 'imgid');
    const image = [fields.text('filepath') ?? [], textOf(fields, 'filename')].flat().join('/');
    yield sampleOf({ image, captions, imageId }, folder, fields, 'filename');
  }
}

function idOf(fields: FileFields, name: string): number | string {
  const id = readId(fields, name);
  if (id === undefined) throw fields.refusal(name, 'a whole number from 0 or a string');
  return id;
}

function textOf(fields: FileFields, name: string): string {
  const text = fields.text(name);
  if (text === undefined) throw fields.refusal(name, 'a string');
  return text;
}
