import { ArgumentError } from '../../native/errors.ts';
import { shown } from '../../native/fields.ts';
import type { Json } from '../../native/files.ts';
import { hash53, randomStream } from '../random.ts';
import { Position } from './position.ts';
import type { Dataset, Drawn, Entry, SampleStream, StreamOptions } from './sample.ts';

/** A part of a {@link mixture}. */
export interface MixturePart {
  /** What its samples are drawn from. */
  readonly dataset: Dataset;
  /** How often samples come from it, in proportion to the other parts' weights; its length unless told. */
  readonly weight?: number;
  /** Goes before its samples' keys and picture ids, so that those of different parts never meet; the data set's name unless told. */
  readonly name?: string;
}

/**
 * Several data sets in one stream: each sample comes from a part drawn by weight, as BLIP-2 mixes COCO, Visual Genome, CC3M, CC12M, SBU and
 * LAION. Every part goes through its own epochs; where these are limited, a part that has ended is drawn no more.
 *
 * @throws ArgumentError for weights that are none, and for parts of one name.
 */
export function mixture(parts: readonly (Dataset | MixturePart)[]): Dataset {
  if (!Array.isArray(parts)) throw new ArgumentError('parts', 'an array of data sets', shown(parts));
  const all = (parts as readonly (Dataset | MixturePart)[]).map((part, i) => {
    if (typeof part !== 'object' || part === null) throw new ArgumentError(`parts[${i}]`, 'a data set', shown(part));
    const { dataset, weight = dataset.length, name = dataset.name } = 'dataset' in part ? part : { dataset: part };
    if (weight === undefined)
      throw new ArgumentError(`parts[${i}].weight`, `a weight, since the length of ${name} is not known`, 'none');
    if (!(weight > 0 && weight < Infinity)) throw new ArgumentError(`parts[${i}].weight`, 'a number above 0', String(weight));
    return { dataset, weight, name };
  });
  if (all.length === 0) throw new ArgumentError('parts', 'at least one data set', 'none');
  const names = all.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new ArgumentError('parts', 'a name of its own for each part', `${JSON.stringify(twice)} twice`);
  const lengths = all.map(({ dataset }) => dataset.length);
  return {
    name: names.join(' + '),
    length: lengths.reduce((sum, length) => (sum === undefined || length === undefined ? undefined : sum + length), 0),
    fingerprint: JSON.stringify(all.map(({ dataset: { length, fingerprint } }) => [length ?? null, fingerprint ?? null])),
    stream: (options) => new MixtureStream(all, options),
  };
}

class MixtureStream implements SampleStream {
  readonly #parts: readonly { name: string; weight: number; stream: SampleStream }[];
  readonly #seed: number;
  readonly #ended: Set<number>;
  #draws = 0;

  constructor(parts: readonly Required<MixturePart>[], options: StreamOptions) {
    const position = options.from === undefined ? undefined : new Position(options.from);
    const places = position?.elements('parts', parts.length);
    this.#draws = position?.count('draws') ?? 0;
    this.#ended = new Set(position?.elements('ended').map(Number));
    this.#seed = options.seed;
    this.#parts = parts.map(({ name, weight, dataset }, i) => {
      const seed = hash53(JSON.stringify([options.seed, name])); // parts of equal length do not go in step
      return { name, weight, stream: dataset.stream({ ...options, seed, from: places?.[i] }) };
    });
  }

  async next(): Promise<Drawn | undefined> {
    while (this.#ended.size < this.#parts.length) {
      const chosen = this.#choose(randomStream(this.#seed, 'mixture', this.#draws++)());
      const { name, stream } = this.#parts[chosen] as { name: string; stream: SampleStream };
      const drawn = await stream.next().catch(async (error: unknown) => {
        await this.close();
        throw error;
      });
      if (drawn !== undefined) return { ...drawn, entry: named(drawn.entry, name) };
      this.#ended.add(chosen);
    }
    return undefined;
  }

  mark(): () => Json {
    const [draws, ended, marks] = [this.#draws, [...this.#ended], this.#parts.map(({ stream }) => stream.mark())];
    return () => ({ draws, ended, parts: marks.map((mark) => mark()) });
  }

  async close(): Promise<void> {
    await Promise.all(this.#parts.map(({ stream }) => stream.close()));
  }

  /** The part that a number in [0, 1) falls on. */
  #choose(random: number): number {
    const left = this.#parts.map(({ weight }, i) => ({ i, weight })).filter(({ i }) => !this.#ended.has(i));
    let rest = random * left.reduce((sum, { weight }) => sum + weight, 0);
    for (const { i, weight } of left) {
      if (rest < weight) return i;
      rest -= weight;
    }
    return (left.at(-1) as { i: number }).i; // rounding
  }
}

function named(entry: Entry, part: string): Entry {
  const key = `${part}/${entry.key}`;
  return 'problem' in entry ? { ...entry, key } : { ...entry, key, imageId: `${part}/${entry.imageId}` };
}
