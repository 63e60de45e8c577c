import {
  type BrokenSample,
  BrokenSamplesError,
  type Dataset,
  ImageError,
  type ImageLocation,
  type ImageSource,
} from '../data/index.ts';
import { BrokenCount } from '../data/loader/broken.ts';
import { readRange } from '../data/read.ts';
import { languageKind } from '../models/blip2/language/kinds.ts';
import { aFunction, anObjectOrArray, checkArgument, defined, having, optional } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { shown } from '../native/fields.ts';
import { writeFileAtomically } from '../native/files.ts';
import type { Blip2, CaptionOptions, ImageInput } from '../pipeline/index.ts';
import { type CaptionMetrics, scoreCaptions } from './metrics/index.ts';
import { checkTaskOptions, type TaskOptions } from './options.ts';

/** What {@link evaluateCaptions} needs of a model; a `Blip2` has it. */
export interface CaptionModel {
  /** One caption a picture. */
  caption(images: readonly ImageInput[], options?: CaptionOptions): Promise<string[]>;
  /** How it writes unless told, in place of what {@link evaluateCaptions} says. */
  readonly captionDefaults?: CaptionOptions;
  /** The kind of its language model, on which the authors' least length depends; one that goes on from the prompt unless told. */
  readonly languageModel?: Blip2['languageModel'];
}

/** A picture to be captioned. */
export interface CaptionTarget {
  /** Where the picture is. */
  readonly image: ImageSource;
  /** What the result calls it. */
  readonly imageId: number | string;
  /** What people wrote of it, where the caption is to be scored. */
  readonly captions?: readonly string[] | undefined;
}

/** Options of {@link evaluateCaptions}: those of `Blip2.caption`, and where the results go. */
export interface CaptionTaskOptions extends CaptionOptions, TaskOptions {
  /** Is called for every picture that cannot be used, which is then left out; without it, such a picture ends the evaluation. */
  onBroken?: ((picture: BrokenSample) => void) | undefined;
  /** With it, the share of pictures that may be broken, of 1,000 at least; 0.01 unless told. */
  maxBroken?: number | undefined;
}

/** A caption as COCO's evaluation reads it. */
export interface CaptionResult {
  /** The picture's id in its data set. */
  readonly image_id: number | string;
  /** What the model wrote. */
  readonly caption: string;
}

/** What {@link evaluateCaptions} gives. */
export interface CaptionEvaluation {
  /** In the order of the pictures; none of those that were left out. */
  readonly results: readonly CaptionResult[];
  /** Of these; null where there are no captions to compare with, or all pictures were left out. */
  readonly metrics: CaptionMetrics | null;
}

/** As the authors evaluate on COCO: "a photo of", five beams, 8 to 30 tokens. */
const DEFAULTS = { prompt: 'a photo of', numBeams: 5, maxNewTokens: 30 } as const;

/** New tokens at least, as the authors evaluate on COCO: 8, among which T5's is counted that its decoder starts from. */
export function leastCaption(languageModel: CaptionModel['languageModel']): number {
  return languageModel === undefined || languageKind(languageModel).decoderOnly ? 8 : 7;
}

/**
 * Captions every picture once, in batches, and scores the captions where people's are there. By default as LAVIS does it for COCO: the prompt
 * "a photo of", five beams, 8 to 30 tokens (§4.2; of T5 7, as the token that its decoder starts from is counted), unless the model has its own way;
 * `repetitionPenalty: 1.15, lengthPenalty: 0` is what its latest code has besides.
 *
 * @param data pictures, or a data set; samples of one picture (`imageId`) are captioned once and scored against the captions of all of them
 * @example
 * const data = await cocoCaptions('dataset_coco.json', { images: 'coco', splits: ['test'], grouped: true });
 * const { metrics } = await evaluateCaptions(blip2, data, { output: 'results.json' });
 * @throws ArgumentError for options or pictures that are not as expected; BrokenSamplesError where samples cannot be used, with
 *   `onBroken` more of them than are borne; FileError where the
 *   results cannot be written; what the model throws, the signal's reason among it
 */
export async function evaluateCaptions(
  model: CaptionModel,
  data: Dataset | Iterable<CaptionTarget>,
  options: CaptionTaskOptions = {},
): Promise<CaptionEvaluation> {
  checkArgument('model', model, having('caption'));
  const { task, rest: all } = checkTaskOptions(options);
  const { onBroken, maxBroken = 0.01, ...rest } = all;
  checkArgument('onBroken', onBroken, optional(aFunction));
  if (!(maxBroken >= 0 && maxBroken <= 1)) throw new ArgumentError('maxBroken', 'a share from 0 to 1', shown(maxBroken));
  const broken: BrokenSample[] = [];
  const pictures = await picturesOf(data, task.signal, onBroken === undefined ? null : broken);
  const scored = hasReferences(pictures);
  const { batchSize, signal } = task;
  const count = new BrokenCount(maxBroken, { length: pictures.length + broken.length, shuffled: false });
  const leaveOut = (picture: BrokenSample): void => {
    count.seen++;
    onBroken?.(picture);
    count.add(picture);
  };
  for (const picture of broken) leaveOut(picture);
  const how = { ...writing(model, rest), batchSize, ...(signal === undefined ? {} : { signal }) };
  const written: { picture: Picture; caption: string }[] = [];
  const write = async (batch: readonly Picture[]): Promise<void> => {
    try {
      const images = batch.map(({ image }) => sourceOf(image));
      const captions = await model.caption(images, how);
      written.push(...batch.map((picture, i) => ({ picture, caption: captions[i] as string })));
      count.seen += batch.length;
    } catch (error) {
      const [first, other] = batch;
      if (onBroken === undefined || first === undefined || !(error instanceof ImageError)) throw error;
      // Which of them it was shows when each comes alone.
      if (other !== undefined) for (const picture of batch) await write([picture]);
      else leaveOut({ key: String(first.imageId), problem: error.message });
    }
  };
  for (let from = 0; from < pictures.length; from += batchSize) {
    const batch = pictures.slice(from, from + batchSize);
    await write(batch);
    task.onProgress({ done: from + batch.length, total: pictures.length });
  }
  const results = written.map(({ picture, caption }): CaptionResult => ({ image_id: picture.imageId, caption }));
  if (task.output !== undefined) writeFileAtomically(task.output, `${JSON.stringify(results)}\n`);
  if (!scored || written.length === 0) return { results, metrics: null };
  const pairs = written.map(({ picture, caption }) => ({ caption, references: picture.captions }));
  return { results, metrics: scoreCaptions(pairs) };
}

/** The model's way or the authors', with what was told; told to be short, captions may be shorter than theirs. */
function writing({ captionDefaults, languageModel }: CaptionModel, options: CaptionOptions): CaptionOptions {
  const usual: CaptionOptions = captionDefaults ?? { ...DEFAULTS, minNewTokens: leastCaption(languageModel) };
  const { minNewTokens: least, maxNewTokens: most, ...rest } = usual;
  const told: CaptionOptions = defined(options);
  // Lengths that count the prompt, too, are not known here.
  const maxNewTokens = told.maxNewTokens ?? (told.maxLength === undefined ? most : undefined);
  const free = told.minLength !== undefined || told.maxLength !== undefined || least === undefined;
  const minNewTokens = told.minNewTokens ?? (free ? undefined : Math.min(least, maxNewTokens ?? Infinity));
  return { ...rest, ...told, ...defined({ minNewTokens, maxNewTokens }) };
}

interface Picture {
  readonly image: ImageSource | ImageLocation;
  readonly imageId: number | string;
  readonly captions: string[];
}

/** Every picture once, with the captions of all its samples. */
async function picturesOf(
  data: Dataset | Iterable<CaptionTarget>,
  signal: AbortSignal | undefined,
  broken: BrokenSample[] | null,
): Promise<Picture[]> {
  const pictures = new Map<number | string, Picture>();
  const add = (image: Picture['image'], imageId: number | string, captions: readonly string[]): void => {
    const known = pictures.get(imageId);
    if (known === undefined) pictures.set(imageId, { image, imageId, captions: [...captions] });
    else known.captions.push(...captions);
  };
  checkArgument('data', data, anObjectOrArray);
  if (Symbol.iterator in data) {
    for (const { image, imageId, captions = [] } of data) add(image, imageId, captions);
  } else {
    await readAll(data, add, signal, broken);
  }
  if (pictures.size === 0) throw new ArgumentError('data', 'at least one picture', 'none');
  return [...pictures.values()];
}

async function readAll(
  data: Dataset,
  add: (image: ImageLocation, imageId: number | string, captions: readonly string[]) => void,
  signal: AbortSignal | undefined,
  leftOut: BrokenSample[] | null,
): Promise<void> {
  const stream = data.stream({ seed: 0, shuffle: false, epochs: 1 });
  const broken = leftOut ?? [];
  let seen = 0;
  try {
    for (let drawn = await stream.next(); drawn !== undefined; drawn = await stream.next()) {
      signal?.throwIfAborted();
      seen++;
      if ('problem' in drawn.entry) broken.push(drawn.entry);
      else add(drawn.entry.image, drawn.entry.imageId, drawn.entry.captions);
    }
  } finally {
    await stream.close();
  }
  // Figures of a part of a data set would be taken for those of the whole.
  if (leftOut === null && broken.length > 0) throw new BrokenSamplesError(broken.length, seen, broken.slice(-100));
}

/** Whether pictures have captions to compare with: all of them or none. */
function hasReferences(pictures: readonly Picture[]): boolean {
  const bare = pictures.find(({ captions }) => captions.length === 0);
  if (bare !== undefined && pictures.some(({ captions }) => captions.length > 0)) {
    throw new ArgumentError('captions', 'captions of every picture or of none', `none of picture ${bare.imageId}`);
  }
  return bare === undefined;
}

/** What can be sent to a model: a whole file by its path, a part of one as its bytes. */
function sourceOf(image: Picture['image']): ImageSource {
  if (typeof image !== 'object' || !('file' in image)) return image;
  return image.offset === undefined && image.size === undefined ? image.file : readRange(image);
}
