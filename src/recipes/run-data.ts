import { type BrokenSample, type Dataset, type ImageTransform, loader, openDataset } from '../data/index.ts';
import { cachedBatches, FeatureCache, type FrozenEncoder, type OpenData, type TrainingLog } from '../train/index.ts';
import type { CaptionedBatch } from './captioned-batch.ts';
import type { RunSettings } from './run-settings.ts';

/** What of a recipe decides on its batches. */
export interface BatchSettings {
  /** Pairs a batch. */
  readonly batchSize: number;
  readonly transform: ImageTransform;
  readonly seed: number;
}

/** What a run trains on. */
export interface TrainingData {
  readonly dataset: Dataset;
  readonly open: OpenData<CaptionedBatch>;
  /** Closes the cache, where there is one. */
  close(): void;
}

const INTERVAL = 10_000; // ms

/** Names samples that cannot be used in the logs. */
export function leftOut(logs: readonly TrainingLog[]): (sample: BrokenSample) => void {
  return ({ key, problem }) => {
    for (const log of logs) log.message(`left out ${key}: ${problem.split('\n', 1)}`);
  };
}

/**
 * A run's pictures with captions: read by a loader, or, where the settings name a folder for features, from a cache of these. Samples that
 * cannot be used are named in the logs.
 *
 * @param encoder of the cache
 * @param signal ends the making of the cache
 * @throws FileError, ArgumentError for data that cannot be opened
 */
export async function openTrainingData(
  settings: RunSettings,
  batches: BatchSettings,
  encoder: FrozenEncoder,
  logs: readonly TrainingLog[],
  signal?: AbortSignal,
): Promise<TrainingData> {
  const { data, images, device, workers, maxBroken, features } = settings;
  const options = images === null ? {} : { images };
  const dataset = await openDataset(data, options);
  const say = (text: string): void => {
    for (const log of logs) log.message(text);
  };
  const onBroken = leftOut(logs);
  const common = { maxBroken, onBroken, ...(workers === null ? {} : { workers }) };
  let cache: FeatureCache | undefined;
  return {
    dataset,
    async open(state) {
      const { batchSize, transform, seed } = batches;
      if (features === null) {
        return loader(dataset, { batchSize, transform, seed, device, ...common, ...(state === undefined ? {} : { state }) });
      }
      const pictures = await openDataset(data, { ...options, grouped: true });
      const onProgress = now(INTERVAL, (count: number) => say(`encoded ${count} pictures`));
      cache ??= await FeatureCache.open({
        directory: features,
        encoder,
        dataset: pictures,
        transform,
        onProgress,
        signal,
        ...common,
      });
      say(`features of ${cache.size} pictures are in ${cache.folder}`);
      return cachedBatches(dataset, cache, { batchSize, seed, state });
    },
    close: () => cache?.close(),
  };
}

/** Passes a call on where the last one was long enough ago. */
function now<A>(interval: number, call: (value: A) => void): (value: A) => void {
  let last = Date.now();
  return (value) => {
    if (Date.now() - last < interval) return;
    last = Date.now();
    call(value);
  };
}
