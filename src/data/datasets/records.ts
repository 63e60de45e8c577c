import path from 'node:path';
import type { FileFields } from '../fields.ts';
import type { Sample } from './sample.ts';

/** A picture as a list of pictures names it. */
export interface PictureRecord {
  readonly image: string;
  readonly captions: readonly string[];
  readonly imageId: number | string;
}

/**
 * Reads `{ image, caption | captions, image_id }`. `caption` may be a list as well, `image_id` a whole number or a string; without it the picture's
 * name is its id.
 *
 * @throws FileError
 */
export function readRecord(fields: FileFields): PictureRecord {
  const image = fields.text('image');
  if (image === undefined || image === '') throw fields.refusal('image', "a picture's path");
  const captions = readCaptions(fields);
  if (captions === undefined) throw fields.refusal('caption', 'a caption, or a list of them in captions');
  return { image, captions, imageId: readId(fields, 'image_id') ?? image };
}

/** The captions in `captions` or `caption`; undefined where there are neither. */
export function readCaptions(fields: FileFields): readonly string[] | undefined {
  const name = fields.raw('captions') === undefined ? 'caption' : 'captions';
  const value = fields.raw(name);
  if (value === undefined) return undefined;
  const list = typeof value === 'string' ? [value] : value;
  const fits = Array.isArray(list) && list.length > 0 && list.every((caption) => typeof caption === 'string');
  if (!fits) throw fields.refusal(name, 'a string or a list of strings');
  return list as readonly string[];
}

/** A picture's id: a whole number or a string. */
export function readId(fields: FileFields, name: string): number | string | undefined {
  const value = fields.raw(name);
  if (value === undefined) return undefined;
  const fits = Number.isSafeInteger(value) ? (value as number) >= 0 : typeof value === 'string' && value !== '';
  if (!fits) throw fields.refusal(name, 'a whole number from 0 or a string');
  return value as number | string;
}

/**
 * The sample of a picture that a list names. Its path must be relative and stay in the folder.
 *
 * @param fields the object that names it, in the field `pathName`
 * @param before goes before the picture's path to make the key
 * @throws FileError
 */
export function sampleOf(record: PictureRecord, folder: string, fields: FileFields, pathName: string, before = ''): Sample {
  const { image, captions, imageId } = record;
  if (!staysInside(image)) throw fields.refusal(pathName, 'a path inside the folder', JSON.stringify(image).slice(0, 200));
  const file = path.join(folder, image);
  return { key: before + image, image: { file, name: file }, captions, imageId };
}

/** Whether a path is relative and does not climb. */
export function staysInside(name: string): boolean {
  if (name === '' || name.includes('\0') || path.posix.isAbsolute(name) || path.win32.isAbsolute(name)) return false;
  return !name.split(/[\\/]/).includes('..');
}

/** Pictures of one id become one, with the captions of all of them. */
export function merged(pictures: readonly Sample[]): Sample[] {
  const byId = new Map<number | string, Sample>();
  for (const picture of pictures) {
    const known = byId.get(picture.imageId);
    byId.set(picture.imageId, known === undefined ? picture : { ...known, captions: [...known.captions, ...picture.captions] });
  }
  return [...byId.values()];
}

/** One sample for each caption. The n-th one's key ends in `#n`, where there are several. */
export function* oneEach(picture: Sample): Generator<Sample> {
  if (picture.captions.length === 1) yield picture;
  else
    for (const [i, caption] of picture.captions.entries()) yield { ...picture, key: `${picture.key}#${i}`, captions: [caption] };
}
