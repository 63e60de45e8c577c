import path from 'node:path';
import { anObject, aPath, checkArgument } from '../../native/arguments.ts';
import { FileError } from '../../native/errors.ts';
import { parseJson } from '../../native/files.ts';
import { FileFields } from '../fields.ts';
import { readRange } from '../read.ts';
import { IndexedDataset, ListDataset } from './indexed.ts';
import { linesOf } from './lines.ts';
import { merged, readRecord, sampleOf } from './records.ts';
import type { Entry, GroupingOptions, Sample } from './sample.ts';

/** Options of {@link jsonLines}. */
export interface JsonLinesOptions extends GroupingOptions {
  /** The folder that the pictures' names start from; the file's own unless told. */
  images?: string;
}

/**
 * A text file with a picture a line: `{ "image": "a.jpg", "caption": "…", "image_id": 7 }`, or `captions` with a list. The whole file is read and
 * checked once; then only each line's place is kept, so that files of many millions of lines fit. With `grouped` all captions are kept.
 *
 * @throws FileError naming the line and the field that is not as expected, and for paths that lead out of the folder.
 */
export async function jsonLines(file: string, options: JsonLinesOptions = {}): Promise<IndexedDataset> {
  checkArgument('file', file, aPath);
  checkArgument('options', options, anObject);
  const folder = options.images ?? path.dirname(file);
  const pictures: Sample[] = [];
  const lines = new Lines();
  for await (const { bytes, start, number } of linesOf(file)) {
    const picture = isBlank(bytes) ? undefined : parseLine(file, folder, bytes, number);
    if (options.grouped && picture !== undefined) pictures.push(picture);
    lines.add(start, bytes.length, picture?.captions.length ?? 0);
  }
  if (lines.samples === 0) throw new FileError(file, 'expected pictures with captions but there are none');
  return options.grouped ? new ListDataset(path.basename(file), merged(pictures)) : new JsonLines(file, folder, lines);
}

function parseLine(file: string, folder: string, bytes: Uint8Array, number: number): Sample {
  const name = `${file}: line ${number}`;
  const fields = new FileFields(name, parseJson(name, bytes));
  return sampleOf(readRecord(fields), folder, fields, 'image', `line ${number}: `);
}

const isBlank = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);

/** Where lines are, and which samples each holds. */
class Lines {
  readonly #starts: number[] = [];
  readonly #sizes: number[] = [];
  readonly #firstSamples: number[] = [];
  samples = 0;

  add(start: number, size: number, samples: number): void {
    this.#starts.push(start);
    this.#sizes.push(size);
    this.#firstSamples.push(this.samples);
    this.samples += samples;
  }

  /** The line that holds a sample, and which of the line's it is. */
  find(sample: number): { start: number; size: number; number: number; caption: number } {
    let from = 0;
    let to = this.#firstSamples.length; // the last line that begins at or before the sample lies in [from, to)
    while (to - from > 1) {
      const middle = (from + to) >> 1;
      if ((this.#firstSamples[middle] as number) <= sample) from = middle;
      else to = middle;
    }
    return {
      start: this.#starts[from] as number,
      size: this.#sizes[from] as number,
      number: from + 1,
      caption: sample - (this.#firstSamples[from] as number),
    };
  }
}

class JsonLines extends IndexedDataset {
  readonly #file: string;
  readonly #folder: string;
  readonly #lines: Lines;

  constructor(file: string, folder: string, lines: Lines) {
    super(path.basename(file));
    this.#file = file;
    this.#folder = folder;
    this.#lines = lines;
  }

  override get length(): number {
    return this.#lines.samples;
  }

  override async at(index: number): Promise<Entry> {
    const { start, size, number, caption } = this.#lines.find(index);
    try {
      const bytes = readRange({ file: this.#file, offset: start, size, name: this.#file });
      const picture = parseLine(this.#file, this.#folder, bytes, number);
      const text = picture.captions[caption];
      if (text === undefined) throw new FileError(this.#file, `line ${number}: has fewer captions than when it was opened`);
      return picture.captions.length === 1 ? picture : { ...picture, key: `${picture.key}#${caption}`, captions: [text] };
    } catch (error) {
      if (error instanceof FileError) return { key: `line ${number}`, problem: error.message }; // the file has changed
      throw error;
    }
  }
}
