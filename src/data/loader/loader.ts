import os from 'node:os';
import { anObject, checkArgument, checkKeys } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import type { Json } from '../../native/files.ts';
import type { Device } from '../../tensor/index.ts';
import { Position } from '../datasets/position.ts';
import { type BrokenSample, type Dataset, type Entry, isBroken, type Sample, type SampleStream } from '../datasets/sample.ts';
import { blipCaption } from '../text.ts';
import { checkTransform, type ImageTransform } from '../transforms.ts';
import { Ahead } from './ahead.ts';
import { Batch, Collator, type Picture } from './batch.ts';
import { BrokenCount } from './broken.ts';
import { onThisThread, type Preparer, WorkerPool } from './pool.ts';
import type { Prepared } from './prepare.ts';

/** Options of a {@link Loader}. */
export interface LoaderOptions {
  /** Pictures in a batch. */
  batchSize: number;
  /** {@link trainTransform} or {@link evalTransform}. */
  transform: ImageTransform;
  /** Decides the order of the samples and every crop; 0 unless told. */
  seed?: number;
  /** True unless told. */
  shuffle?: boolean;
  /** How often to go through the data set; without end unless told. */
  epochs?: number;
  /** Leave out the samples at the end that fill no batch; false unless told. */
  dropLast?: boolean;
  /** Threads that prepare pictures; one fewer than there are processors, at most 8, unless told. With 0 the calling thread does it. */
  workers?: number;
  /** Batches that are prepared ahead; 2 unless told. */
  prefetch?: number;
  /** Cleans a caption up; {@link blipCaption} unless told. */
  cleanUp?: (caption: string) => string;
  /** Where the tensors go; the CPU unless told. */
  device?: Device;
  /**
   * The share of the data set's samples that may be broken, of 1,000 at least; 0.01 unless told. The loader stops where there are more, or where chance
   * does not explain how many were broken so far. A set within the share can be gone through for any number of epochs.
   */
  maxBroken?: number;
  /** Is called for every sample that is left out, for the log. */
  onBroken?: (sample: BrokenSample) => void;
  /** A {@link Loader.state}, to go on from there. The data set and the options that decide on samples must be those it was saved with. */
  state?: Json;
}

const NAMES: Record<keyof LoaderOptions, true> = {
  batchSize: true,
  transform: true,
  seed: true,
  shuffle: true,
  epochs: true,
  dropLast: true,
  workers: true,
  prefetch: true,
  cleanUp: true,
  device: true,
  maxBroken: true,
  onBroken: true,
  state: true,
};

type Settings = Required<Omit<LoaderOptions, 'state' | 'onBroken'>>;

/** A sample on its way, and where its stream is after it: `draws` draws on from a mark. */
interface Coming {
  readonly epoch: number;
  readonly sample: Sample | BrokenSample;
  readonly prepared: Promise<Prepared>;
  readonly mark: () => Json;
  readonly draws: number;
}

const VERSION = 1;

/**
 * Batches of a data set, as an async iterator: pictures are read, decoded and transformed ahead of the consumer, on threads of their own. What
 * comes depends on the data set, the seed and the other options, not on the number of threads or how fast they are. A sample that
 * cannot be used is left out, counted and reported.
 *
 * Iterating throws {@link BrokenSamplesError} for too many of these, {@link TarError} and other FileErrors of the data set.
 */
export class Loader implements AsyncIterableIterator<Batch> {
  readonly #dataset: Dataset;
  readonly #settings: Settings;
  readonly #onBroken: (sample: BrokenSample) => void;
  readonly #batches: AsyncGenerator<Batch, void, undefined>;
  readonly #broken: BrokenCount;
  #state: () => Json;
  #samples = 0;
  #waited = 0;

  /** @throws ArgumentError for options that are none, and for a state of other data, another seed or another version. */
  constructor(dataset: Dataset, options: LoaderOptions) {
    this.#dataset = dataset;
    this.#settings = withDefaults(options);
    this.#onBroken = options.onBroken ?? (() => {});
    const { maxBroken, shuffle } = this.#settings;
    this.#broken = new BrokenCount(maxBroken, { length: dataset.length, shuffled: shuffle });
    const saved = options.state === undefined ? undefined : this.#check(new Position(options.state, 'state'));
    this.#samples = saved?.count('samples') ?? 0;
    this.#broken.seen = saved?.count('seen') ?? 0;
    this.#broken.count = saved?.count('broken') ?? 0;
    const position = saved?.raw('position');
    const draws = saved?.count('draws') ?? 0;
    this.#state = this.#snapshot(() => position ?? null, draws);
    this.#batches = this.#run(position, draws);
  }

  /** Samples delivered. */
  get samples(): number {
    return this.#samples;
  }

  /** How long the consumer has waited in all, in milliseconds. */
  get waited(): number {
    return this.#waited;
  }

  /** Samples left out: how many, and the last hundred. */
  get broken(): { readonly count: number; readonly last: readonly BrokenSample[] } {
    return { count: this.#broken.count, last: this.#broken.last };
  }

  /** Where the loader is after the last batch that it has delivered, as JSON: a new loader with this state goes on with the next batch. */
  state(): Json {
    return this.#state();
  }

  /** The next batch. */
  next(): Promise<IteratorResult<Batch, void>> {
    return this.#batches.next();
  }

  /** Ends the threads and closes the files, once a batch that is being made is done. */
  return(): Promise<IteratorResult<Batch, void>> {
    return this.#batches.return();
  }

  /** The same as {@link return}. */
  async close(): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async *#run(position: Json | undefined, skip: number): AsyncGenerator<Batch, void, undefined> {
    const { batchSize, transform, seed, shuffle, epochs, dropLast, prefetch, workers, device } = this.#settings;
    const stream = this.#dataset.stream({ seed, shuffle, epochs, from: position });
    const preparer = workers === 0 ? onThisThread(transform) : new WorkerPool(transform, workers);
    const collator = new Collator(batchSize, transform, device);
    const coming = new Ahead(prefetch * batchSize, this.#producer(stream, preparer, skip));
    try {
      for (let more = true; more; ) {
        const started = performance.now();
        const pictures: Picture[] = [];
        let last: Coming | undefined;
        while (more && pictures.length < batchSize) {
          const next = await coming.next();
          if (next === undefined) more = false;
          else {
            last = next;
            pictures.push(...(await this.#picture(next)));
          }
        }
        if (last === undefined || pictures.length === 0 || (dropLast && pictures.length < batchSize)) return;
        const tensors = collator.collate(pictures);
        this.#samples += pictures.length;
        this.#state = this.#snapshot(last.mark, last.draws);
        const waited = performance.now() - started;
        this.#waited += waited;
        yield new Batch(
          tensors,
          pictures.map(({ sample }) => sample),
          waited,
        );
      }
    } finally {
      collator.dispose();
      await coming.idle();
      await Promise.all([preparer.close(), stream.close()]);
    }
  }

  /** Draws the next sample and sets about its picture. */
  #producer(stream: SampleStream, preparer: Preparer, skip: number): () => Promise<Coming | undefined> {
    const { batchSize, seed } = this.#settings;
    let mark = stream.mark();
    let draws = 0;
    return async () => {
      for (; skip > 0; skip--) await stream.next();
      if (draws % batchSize === 0) {
        mark = stream.mark();
        draws = 0;
      }
      const drawn = await stream.next();
      draws++;
      if (drawn === undefined) return undefined;
      const sample = this.#cleaned(drawn.entry);
      const prepared = isBroken(sample)
        ? Promise.resolve(sample)
        : preparer.prepare({ image: sample.image, random: [seed, drawn.epoch, sample.key] });
      prepared.catch(() => {}); // it is seen when its turn comes, if that comes
      return { epoch: drawn.epoch, sample, prepared, mark, draws };
    };
  }

  #cleaned(entry: Entry): Entry {
    if (isBroken(entry)) return entry;
    const captions = entry.captions.map(this.#settings.cleanUp).filter((caption) => caption !== '');
    return captions.length > 0 ? { ...entry, captions } : { key: entry.key, problem: 'has an empty caption' };
  }

  /** The picture of a sample, or none where it is broken. */
  async #picture({ epoch, sample, prepared }: Coming): Promise<Picture[]> {
    const result = await prepared;
    this.#broken.seen++;
    this.#broken.passes = Math.max(this.#broken.passes, epoch + 1);
    if (!('problem' in result) && !isBroken(sample)) return [{ ...result, sample }];
    const broken = { key: sample.key, problem: 'problem' in result ? result.problem : '' };
    this.#onBroken(broken);
    this.#broken.add(broken);
    return [];
  }

  /** What {@link state} gives from now on. */
  #snapshot(mark: () => Json, draws: number): () => Json {
    const counts = { samples: this.#samples, seen: this.#broken.seen, broken: this.#broken.count };
    return () => ({ ...this.#identity(), ...counts, position: mark(), draws });
  }

  /** What a state must have in common with the loader that goes on from it. */
  #identity(): { readonly [key: string]: Json } {
    const { seed, shuffle } = this.#settings;
    return { version: VERSION, dataset: this.#dataset.name, length: this.#dataset.length ?? null, seed, shuffle };
  }

  #check(state: Position): Position {
    for (const [name, expected] of Object.entries(this.#identity())) {
      if ((state.raw(name) ?? null) !== expected)
        throw state.refusal(name, `${JSON.stringify(expected)}, as this loader has it,`);
    }
    return state;
  }
}

/** Batches of a data set; see {@link Loader}. */
export function loader(dataset: Dataset, options: LoaderOptions): Loader {
  return new Loader(dataset, options);
}

function withDefaults(options: LoaderOptions): Settings {
  checkArgument('options', options, anObject);
  checkKeys('options', options, Object.keys(NAMES));
  const settings: Settings = {
    seed: 0,
    shuffle: true,
    epochs: Infinity,
    dropLast: false,
    workers: Math.min(8, os.availableParallelism() - 1),
    prefetch: 2,
    cleanUp: (caption) => blipCaption(caption),
    device: 'cpu',
    maxBroken: 0.01,
    ...options,
  };
  checkTransform('transform', settings.transform);
  for (const [name, least] of [
    ['batchSize', 1],
    ['workers', 0],
    ['prefetch', 1],
    ['epochs', 1],
    ['seed', 0],
  ] as const) {
    const value = settings[name];
    const fits = Number.isSafeInteger(value) || (name === 'epochs' && value === Infinity);
    if (!fits || value < least) throw new ArgumentError(name, `a whole number from ${least}`, String(value));
  }
  if (!(settings.maxBroken >= 0 && settings.maxBroken <= 1)) {
    throw new ArgumentError('maxBroken', 'a share from 0 to 1', String(settings.maxBroken));
  }
  return settings;
}
