import { ArgumentError, FileError } from '../../native/errors.ts';
import type { Json } from '../../native/files.ts';
import { permutation, randomStream } from '../random.ts';
import { Position } from './position.ts';
import type { Drawn, SampleStream, StreamOptions } from './sample.ts';
import { TarError, TarReader } from './tar.ts';
import { type Group, groupAt } from './tar-groups.ts';

interface ShardOptions {
  readonly grouped: boolean;
  readonly buffer: number;
  readonly damaged: 'stop' | 'skip';
}

/** A sample that waits to be drawn, with what finds it again: its tar, where its first header is, and which of its captions it is. */
interface Waiting extends Drawn {
  readonly shard: number;
  readonly start: number;
  readonly caption: number;
}

/** Samples from tars, drawn from a buffer. Its position is the place up to which the tars were read, and where each sample in the buffer is. */
export class ShardStream implements SampleStream {
  readonly #shards: readonly string[];
  readonly #options: ShardOptions;
  readonly #streaming: StreamOptions;
  readonly #capacity: number;
  readonly #buffer: Waiting[] = [];
  #from: Position | undefined;
  #draws = 0;
  #found = false; // whether the tars hold any sample
  #ended = false;
  // Where to read on: the epoch, the place in its order of shards, and the byte.
  #epoch = 0;
  #place = 0;
  #byte = 0;
  #order: Uint32Array | undefined;
  #open: { shard: number; reader: TarReader } | undefined;

  constructor(shards: readonly string[], options: ShardOptions, streaming: StreamOptions) {
    this.#shards = shards;
    this.#options = options;
    this.#streaming = streaming;
    this.#capacity = streaming.shuffle ? options.buffer : 1;
    if (streaming.from === undefined) return;
    this.#from = new Position(streaming.from);
    this.#draws = this.#from.count('draws');
    this.#epoch = this.#from.count('epoch');
    this.#place = this.#from.count('place', shards.length);
    this.#byte = this.#from.count('byte');
  }

  async next(): Promise<Drawn | undefined> {
    try {
      return await this.#draw();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async #draw(): Promise<Drawn | undefined> {
    if (this.#from !== undefined) await this.#restore(this.#from.elements('buffer'));
    this.#from = undefined;
    while (this.#buffer.length < this.#capacity && !this.#ended) await this.#readOn();
    if (!this.#streaming.shuffle) return this.#buffer.shift();
    const random = randomStream(this.#streaming.seed, 'buffer', this.#draws++);
    const chosen = Math.floor(random() * this.#buffer.length);
    const last = this.#buffer.pop();
    if (last === undefined || chosen === this.#buffer.length) return last;
    const drawn = this.#buffer[chosen];
    this.#buffer[chosen] = last;
    return drawn;
  }

  mark(): () => Json {
    if (this.#from !== undefined) {
      const position = this.#streaming.from as Json; // nothing has been drawn since
      return () => position;
    }
    const [draws, epoch, place, byte, waiting] = [this.#draws, this.#epoch, this.#place, this.#byte, this.#buffer.slice()];
    return () => ({
      draws,
      epoch,
      place,
      byte,
      buffer: waiting.map((sample) => [sample.shard, sample.start, sample.caption, sample.epoch]),
    });
  }

  async close(): Promise<void> {
    await this.#open?.reader.close();
    this.#open = undefined;
  }

  /** Puts the next picture's samples into the buffer, or goes on to the next tar. */
  async #readOn(): Promise<void> {
    if (this.#place === this.#shards.length) {
      if (!this.#found)
        throw new FileError(this.#shards.join(', ').slice(0, 500), 'expected pictures with captions but there are none');
      this.#epoch++;
      this.#place = 0;
      this.#order = undefined;
    }
    const { seed, shuffle, epochs } = this.#streaming;
    if (this.#epoch >= epochs) {
      this.#ended = true;
      return;
    }
    if (shuffle) this.#order ??= permutation(this.#shards.length, randomStream(seed, 'shards', this.#epoch));
    const shard = this.#order?.[this.#place] ?? this.#place;
    const group = await this.#groupAt(shard, this.#byte);
    for (const [caption, entry] of group?.entries.entries() ?? []) {
      this.#found = true;
      this.#buffer.push({ entry, epoch: this.#epoch, shard, start: this.#byte, caption });
    }
    if (group?.next !== undefined) this.#byte = group.next;
    else {
      this.#place++;
      this.#byte = 0;
      await this.close();
    }
  }

  async #groupAt(shard: number, byte: number): Promise<Group | undefined> {
    const file = this.#shards[shard] as string;
    try {
      if (this.#open?.shard !== shard) {
        await this.close();
        this.#open = { shard, reader: await TarReader.open(file) };
      }
      return await groupAt((this.#open as { reader: TarReader }).reader, byte, this.#options.grouped);
    } catch (error) {
      if (!(error instanceof TarError) || this.#options.damaged === 'stop') throw error;
      return { entries: [{ key: file, problem: `${error.message}; what is left of it is skipped` }], next: undefined };
    }
  }

  /** Finds the samples of a saved buffer again. */
  async #restore(saved: readonly Json[]): Promise<void> {
    // Tar by tar, so that each is opened once; the order in the buffer is kept, since draws go by it.
    const places = saved.map((element, i) => {
      const [shard, start, caption, epoch] = Array.isArray(element) ? (element as number[]) : [];
      const fits = [shard, start, caption, epoch].every((value) => Number.isSafeInteger(value) && (value as number) >= 0);
      if (!fits || (shard as number) >= this.#shards.length) {
        throw new ArgumentError(`position.buffer[${i}]`, 'where a sample is in the tars', JSON.stringify(element).slice(0, 80));
      }
      return { i, shard: shard as number, start: start as number, caption: caption as number, epoch: epoch as number };
    });
    const found: Waiting[] = new Array(places.length);
    for (const { i, shard, start, caption, epoch } of places.toSorted((a, b) => a.shard - b.shard || a.start - b.start)) {
      const entry = (await this.#groupAt(shard, start))?.entries[caption];
      if (entry === undefined) throw new TarError(this.#shards[shard] as string, `holds no sample at byte ${start} any more`);
      found[i] = { entry, epoch, shard, start, caption };
    }
    for (const waiting of found) this.#buffer.push(waiting);
    this.#found = true;
  }
}
