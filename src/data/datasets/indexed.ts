import { ArgumentError } from '../../native/errors.ts';
import type { Json } from '../../native/files.ts';
import { permutation, randomStream } from '../random.ts';
import { Position } from './position.ts';
import type { Dataset, Drawn, Entry, SampleStream, StreamOptions } from './sample.ts';

/** A data set whose samples can be had in any order. Shuffled, every epoch has an order of its own. */
export abstract class IndexedDataset implements Dataset {
  readonly name: string;
  abstract readonly length: number;

  constructor(name: string) {
    this.name = name;
  }

  /** The sample at an index below {@link length}. */
  abstract at(index: number): Entry | Promise<Entry>;

  stream(options: StreamOptions): SampleStream {
    return new IndexedStream(this, options);
  }
}

/** A data set of samples in memory. */
export class ListDataset extends IndexedDataset {
  readonly #entries: readonly Entry[];

  constructor(name: string, entries: readonly Entry[]) {
    super(name);
    this.#entries = entries;
  }

  override get length(): number {
    return this.#entries.length;
  }

  override at(index: number): Entry {
    return this.#entries[index] as Entry;
  }
}

class IndexedStream implements SampleStream {
  readonly #dataset: IndexedDataset;
  readonly #options: StreamOptions;
  #epoch = 0;
  #next = 0;
  #order: Uint32Array | undefined;

  constructor(dataset: IndexedDataset, options: StreamOptions) {
    if (dataset.length === 0) throw new ArgumentError('dataset', `samples in ${dataset.name}`, 'none');
    this.#dataset = dataset;
    this.#options = options;
    if (options.from !== undefined) {
      const position = new Position(options.from);
      this.#epoch = position.count('epoch');
      this.#next = position.count('next', dataset.length);
    }
  }

  async next(): Promise<Drawn | undefined> {
    const { seed, shuffle, epochs } = this.#options;
    if (this.#next === this.#dataset.length) {
      this.#epoch++;
      this.#next = 0;
      this.#order = undefined;
    }
    if (this.#epoch >= epochs) return undefined;
    if (shuffle) this.#order ??= permutation(this.#dataset.length, randomStream(seed, 'order', this.#epoch));
    const place = this.#next++;
    return { entry: await this.#dataset.at(this.#order?.[place] ?? place), epoch: this.#epoch };
  }

  mark(): () => Json {
    const position = { epoch: this.#epoch, next: this.#next };
    return () => position;
  }

  async close(): Promise<void> {}
}
