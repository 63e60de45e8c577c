import { isBroken } from '../data/datasets/sample.ts';
import { blipCaption, type Dataset, type Sample, type SampleStream } from '../data/index.ts';
import { numberOf } from '../data/loader/batch.ts';
import { anObject, checkArgument, having } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { JsonFields } from '../native/fields.ts';
import type { Json } from '../native/files.ts';
import { fromTypedArray, type Tensor } from '../tensor/index.ts';
import type { BatchStream } from './data.ts';
import type { FeatureCache } from './feature-cache.ts';

/** Pictures' features and captions for a step. */
export interface CachedBatch {
  /** `[B, N, W]` */
  readonly imageFeatures: Tensor;
  /** One a picture, cleaned up. */
  readonly captions: readonly string[];
  /** `[B]` int64 */
  readonly imageIds: Tensor;
}

/** Options of {@link cachedBatches}. */
export interface CachedBatchesOptions {
  /** B, samples in a batch. */
  batchSize: number;
  /** Decides the order; 0 unless told. */
  seed?: number;
  /** True unless told. */
  shuffle?: boolean;
  /** Without end unless told. */
  epochs?: number;
  /** Cleans a caption up; `blipCaption` unless told. */
  cleanUp?: (caption: string) => string;
  /** To go on from. */
  state?: Json | undefined;
}

/**
 * Batches of a data set whose pictures' features are in a cache: no picture is opened. Samples without a picture in the cache, or without a
 * caption, are passed over; what fills no batch at the end is left out.
 *
 * @throws ArgumentError, when batches are asked for, where the data set has none in the cache
 */
export function cachedBatches(dataset: Dataset, cache: FeatureCache, options: CachedBatchesOptions): BatchStream<CachedBatch> {
  checkArgument('dataset', dataset, having('stream'));
  checkArgument('cache', cache, having('features', 'has'));
  checkArgument('options', options, anObject);
  const { batchSize, seed = 0, shuffle = true, epochs = Infinity, cleanUp = (caption) => blipCaption(caption), state } = options;
  if (!Number.isSafeInteger(batchSize) || batchSize < 1)
    throw new ArgumentError('batchSize', 'a positive integer', String(batchSize));
  const from = state === undefined ? undefined : positionOf(state, dataset, seed);
  const stream = dataset.stream({ seed, shuffle, epochs, from });
  const captionOf = ({ captions: [first = ''] }: Sample): string => cleanUp(first);
  const fits = (sample: Sample): boolean => cache.has(sample.imageId) && captionOf(sample) !== '';
  return {
    async next() {
      const samples = await take(stream, batchSize, fits, 2 * (dataset.length ?? 0) + PATIENCE);
      if (samples === null) return { done: true, value: undefined };
      const ids = samples.map(({ imageId }) => imageId);
      const value = {
        imageFeatures: cache.features(ids),
        captions: samples.map(captionOf),
        imageIds: fromTypedArray(BigInt64Array.from(ids, (id) => BigInt(numberOf(id)))),
      };
      return { done: false, value };
    },
    state: () => ({ dataset: dataset.name, seed, position: stream.mark()() }),
    close: () => stream.close(),
  };
}

/** Pictures' features and all their captions. */
export interface CachedGalleryBatch {
  /** `[B, N, W]` */
  readonly imageFeatures: Tensor;
  /** Cleaned up, at least one a picture. */
  readonly allCaptions: readonly (readonly string[])[];
  /** Frees the features. */
  dispose(): void;
}

/**
 * A data set that was opened with `grouped`, in order and once, as a gallery for retrieval whose pictures' features are in a cache. Samples
 * without a picture in the cache, or without a caption, are passed over.
 */
export async function* cachedGallery(
  dataset: Dataset,
  cache: FeatureCache,
  options: Pick<CachedBatchesOptions, 'batchSize' | 'cleanUp'>,
): AsyncGenerator<CachedGalleryBatch, void, undefined> {
  checkArgument('dataset', dataset, having('stream'));
  checkArgument('cache', cache, having('features', 'has'));
  checkArgument('options', options, anObject);
  const { batchSize, cleanUp = (caption) => blipCaption(caption) } = options;
  if (!Number.isSafeInteger(batchSize) || batchSize < 1)
    throw new ArgumentError('batchSize', 'a positive integer', String(batchSize));
  const stream = dataset.stream({ seed: 0, shuffle: false, epochs: 1 });
  try {
    for (let more = true; more; ) {
      const samples: { imageId: number | string; captions: readonly string[] }[] = [];
      while (more && samples.length < batchSize) {
        const drawn = await stream.next();
        if (drawn === undefined) more = false;
        else if (!isBroken(drawn.entry) && cache.has(drawn.entry.imageId)) {
          const captions = drawn.entry.captions.map(cleanUp).filter((caption) => caption !== '');
          if (captions.length > 0) samples.push({ imageId: drawn.entry.imageId, captions });
        }
      }
      if (samples.length === 0) return;
      const imageFeatures = cache.features(samples.map(({ imageId }) => imageId));
      yield { imageFeatures, allCaptions: samples.map(({ captions }) => captions), dispose: () => imageFeatures.dispose() };
    }
  } finally {
    await stream.close();
  }
}

/** Samples that are passed over one after another, beyond twice the data set's, before it is a mistake. */
const PATIENCE = 1000;

/** The next samples that can be used; null where there are not enough. */
async function take(
  stream: SampleStream,
  count: number,
  fits: (sample: Sample) => boolean,
  most: number,
): Promise<Sample[] | null> {
  const samples: Sample[] = [];
  let first: number | undefined;
  let passed = 0;
  while (samples.length < count) {
    const drawn = await stream.next();
    if (drawn === undefined) return null;
    first ??= drawn.epoch;
    if (!isBroken(drawn.entry) && fits(drawn.entry)) {
      samples.push(drawn.entry);
      passed = 0;
    } else if (++passed > most && samples.length === 0 && drawn.epoch > first + 1) {
      throw new ArgumentError('cache', 'a cache with pictures of the data set', 'one without any');
    }
  }
  return samples;
}

function positionOf(state: Json, dataset: Dataset, seed: number): Json {
  const fields = new JsonFields(state, 'state', (field, expected, received) => new ArgumentError(field, expected, received));
  if (fields.text('dataset') !== dataset.name) throw fields.refusal('dataset', JSON.stringify(dataset.name));
  if (fields.whole('seed', 0) !== seed) throw fields.refusal('seed', String(seed));
  return fields.raw('position') ?? null;
}
