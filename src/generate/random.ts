import { type Device, empty, Generator, keep, rand, scope, stack, type Tensor, uniform_ } from '../tensor/index.ts';

// Every row draws from streams of its own, numbered from its seed. One generator serves them all: it is seeded for each draw.
let generator: Generator | undefined;

function stream(seed: number, number: number): Generator {
  const start = streamSeed(seed, number);
  generator ??= new Generator(start);
  return generator.seed(start);
}

/** 32 bits (all that PyTorch's CPU generator takes of a seed) of a seed up to 2⁵³ and a number, mixed as MurmurHash3 does at its end. */
export function streamSeed(seed: number, number: number): number {
  let bits = 0x9e3779b9;
  for (const word of [seed % 2 ** 32, Math.floor(seed / 2 ** 32), number]) {
    bits ^= word;
    bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
    bits ^= bits >>> 16;
  }
  return bits >>> 0;
}

/** A random seed a row. */
export function randomSeeds(batch: number): readonly number[] {
  return Array.from(crypto.getRandomValues(new Uint32Array(batch)));
}

/** Uniform numbers on [0, 1) for `samples` sequences of each row, `[steps, B, samples, 1]` float64; sample j of a row is its stream j. */
export function uniforms(seeds: readonly number[], samples: number, steps: number, device: Device): Tensor {
  const columns = seeds.flatMap((seed) =>
    Array.from({ length: samples }, (_, j) => rand([steps], { generator: stream(seed, j), dtype: 'float64' })),
  );
  return stack(columns, 1).view(steps, seeds.length, samples, 1).to({ device });
}

/**
 * Draws one token from softmax(scores) `[…, V]` by the inverse of its distribution function at `uniform` `[…, 1]` on [0, 1).
 * In float64, so that the rarest tokens of a large vocabulary keep their chance.
 */
export function draw(scores: Tensor, uniform: Tensor): Tensor {
  const cumulative = scores.softmax(-1, 'float64').cumsum(-1);
  const total = cumulative.narrow(-1, cumulative.size(-1) - 1, 1);
  return cumulative.searchsorted(total.mul(uniform), true).squeeze(-1);
}

/** About as many numbers are drawn ahead for a row. */
const AHEAD = 2 ** 14;

/**
 * Noise for draws without replacement: the k highest of `scores + noise`, noise = −ln(−ln u), are k draws in turn from softmax(scores)
 * (the Gumbel-max trick). Block i of a row comes from its stream i.
 */
export class GumbelNoise {
  readonly #seeds: readonly number[];
  readonly #size: number;
  readonly #device: Device;
  readonly #steps: number;
  #block: Tensor | null = null;
  #taken = 0;

  /** @param size numbers a row and step */
  constructor(seeds: readonly number[], size: number, device: Device) {
    this.#seeds = seeds;
    this.#size = size;
    this.#device = device;
    this.#steps = Math.max(1, Math.floor(AHEAD / size));
  }

  /** The next step's noise, `[B, size]`. */
  next(): Tensor {
    const at = this.#taken++ % this.#steps;
    if (at === 0) {
      this.#block?.dispose();
      this.#block = keep(scope(() => this.#drawn(Math.floor((this.#taken - 1) / this.#steps))));
    }
    return (this.#block as Tensor).select(1, at);
  }

  #drawn(block: number): Tensor {
    const uniform = empty([this.#seeds.length, this.#steps, this.#size]);
    for (const [row, seed] of this.#seeds.entries()) uniform_(uniform.select(0, row), 0, 1, stream(seed, block));
    return uniform.to({ device: this.#device }).log().neg().log().neg();
  }

  dispose(): void {
    this.#block?.dispose();
  }
}
