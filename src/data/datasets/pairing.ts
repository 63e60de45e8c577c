import { FileError } from '../../native/errors.ts';
import { parseJson } from '../../native/files.ts';
import { FileFields } from '../fields.ts';
import { readCaptions, readId } from './records.ts';

/** Endings of pictures' names, in the order in which one is chosen where there are several. */
export const imageEndings: readonly string[] = ['jpg', 'jpeg', 'png', 'webp'];

/** Endings of the names of files that describe a picture. */
export const textEndings: readonly string[] = ['txt', 'json'];

/** The most bytes that a description may have. */
export const MAX_TEXT_BYTES = 2 ** 20;

/**
 * A file's name in two: what the files of one sample have in common, and the ending in lower case. As WebDataset has it, the ending starts at the
 * first dot of the last part of the path; files whose names start with a dot belong to no sample.
 */
export function splitName(name: string): { key: string; ending: string } | undefined {
  const match = /^((?:.*\/)?[^/.]+)\.([^/]*)$/s.exec(name);
  return match === null ? undefined : { key: match[1] as string, ending: (match[2] as string).toLowerCase() };
}

/** The same of a file in a folder, where the ending starts at the last dot: `IMG.2024.01.jpg` goes with `IMG.2024.01.txt`. */
export function splitFileName(name: string): { key: string; ending: string } | undefined {
  const match = /^((?:.*\/)?[^/.][^/]*)\.([^/.]*)$/s.exec(name);
  return match === null ? undefined : { key: match[1] as string, ending: (match[2] as string).toLowerCase() };
}

/** What is said of a picture. */
export interface Description {
  readonly captions: readonly string[];
  readonly imageId: number | string | undefined;
}

/**
 * Reads a description from the `.txt` and the `.json` beside a picture: the text is a caption; the object may have `caption` or `captions`, for
 * where there is no text, and `image_id`.
 *
 * @param name what to call the picture in errors
 * @throws FileError
 */
export function describe(name: string, text: Uint8Array | undefined, json: Uint8Array | undefined): Description {
  const fields = json === undefined ? undefined : new FileFields(`${name}.json`, parseJson(`${name}.json`, json));
  const imageId = fields === undefined ? undefined : readId(fields, 'image_id');
  if (text !== undefined) return { captions: [decode(`${name}.txt`, text)], imageId };
  const captions = fields === undefined ? undefined : readCaptions(fields);
  if (captions === undefined) throw new FileError(name, 'has no caption');
  return { captions, imageId };
}

function decode(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim();
  } catch (error) {
    throw new FileError(name, 'expected UTF-8 text', { cause: error });
  }
}
