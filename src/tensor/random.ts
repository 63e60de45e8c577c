import { ArgumentError } from '../native/errors.ts';
import { addon } from '../native/load.ts';
import { type Device, describe, run, wrap } from './base.ts';
import { checkObject, checkOptions, kindOf } from './check.ts';
import type { TensorOptions } from './create.ts';
import { callInPlace, native, operator } from './dispatch.ts';
import { dtypeCode } from './dtype.ts';
import type { Tensor } from './tensor.ts';

const RAND = operator('rand.generator');
const RANDN = operator('randn.generator');
const RANDINT = operator('randint.low_generator');
const RANDPERM = operator('randperm.generator');
const MULTINOMIAL = operator('multinomial');
const BERNOULLI = operator('bernoulli');
const NORMAL_ = operator('normal_');
const UNIFORM_ = operator('uniform_');
const EXPONENTIAL_ = operator('exponential_');

const registry = new FinalizationRegistry<number>((handle) => addon.freeGenerator(handle));

/** A stream of random numbers: PyTorch's own, so the same seed gives the same numbers as torch.Generator. */
export class Generator {
  /** @internal */
  readonly handle: number;
  /** Where the numbers are drawn. */
  readonly device: Device;

  /** A new stream with the given seed (an integer, or a BigInt up to 64 bits). */
  constructor(seed: number | bigint, device: Device = 'cpu') {
    this.device = device;
    this.handle = native(() => addon.createGenerator(device));
    registry.register(this, this.handle);
    this.seed(seed);
  }

  /** Starts the stream anew. */
  seed(seed: number | bigint): this {
    native(() => addon.setSeed(this.handle, seed));
    return this;
  }

  /** The stream's position, as bytes that {@link setState} (or torch.Generator.set_state) takes. */
  getState(): Uint8Array {
    return stateOf(this.handle);
  }

  /** Goes on from a state that {@link getState} gave. */
  setState(state: Uint8Array): this {
    restore(this.handle, state);
    return this;
  }
}

/**
 * Seeds the generator that operators use when they are given none (dropout among them), as torch.manual_seed does for one device.
 * It belongs to the process: worker threads share it.
 */
export function manualSeed(seed: number | bigint, device: Device = 'cpu'): void {
  const handle = native(() => addon.defaultGenerator(device));
  try {
    native(() => addon.setSeed(handle, seed));
  } finally {
    addon.freeGenerator(handle);
  }
}

/** The position of the generator that operators use when they are given none, as torch.get_rng_state gives it. */
export function rngState(device: Device = 'cpu'): Uint8Array {
  const handle = native(() => addon.defaultGenerator(device));
  try {
    return stateOf(handle);
  } finally {
    addon.freeGenerator(handle);
  }
}

/** Puts that generator back to a position. */
export function setRngState(state: Uint8Array, device: Device = 'cpu'): void {
  const handle = native(() => addon.defaultGenerator(device));
  try {
    restore(handle, state);
  } finally {
    addon.freeGenerator(handle);
  }
}

function stateOf(generator: number): Uint8Array {
  const state = wrap(native(() => addon.getState(generator)));
  try {
    return state.data() as Uint8Array;
  } finally {
    state.dispose();
  }
}

function restore(generator: number, state: Uint8Array): void {
  if (!ArrayBuffer.isView(state)) throw new ArgumentError('state', 'the bytes that were given out', kindOf(state));
  const handle = native(() => addon.fromData(state, [state.byteLength], dtypeCode('uint8')));
  try {
    native(() => addon.setState(generator, handle));
  } finally {
    addon.free(handle);
  }
}

/** Options of the functions that draw. */
export interface RandomOptions extends TensorOptions {
  /** The stream to draw from; the process's own (see {@link manualSeed}) unless told. */
  generator?: Generator;
}

function streamOf(generator: Generator | null | undefined): number | null {
  if (generator === undefined || generator === null) return null;
  if (!(generator instanceof Generator)) throw new ArgumentError('generator', 'a Generator, or none', describe(generator));
  return generator.handle;
}

/** The stream of options that are in order. */
function stream(options: RandomOptions): number | null {
  checkOptions(options, 'generator');
  return streamOf(options.generator);
}

/** Uniform on [0, 1). */
export function rand(shape: readonly number[], options: RandomOptions = {}): Tensor {
  return run(RAND, shape, stream(options), dtypeCode(options.dtype ?? 'float32'), null, options.device ?? null);
}
/** Normal with mean 0 and variance 1. */
export function randn(shape: readonly number[], options: RandomOptions = {}): Tensor {
  return run(RANDN, shape, stream(options), dtypeCode(options.dtype ?? 'float32'), null, options.device ?? null);
}
/** Integers from `low` up to, not including, `high`; int64 unless told. */
export function randint(low: number, high: number, shape: readonly number[], options: RandomOptions = {}): Tensor {
  return run(RANDINT, low, high, shape, stream(options), dtypeCode(options.dtype ?? 'int64'), null, options.device ?? null);
}
/** A permutation of 0 … n − 1; int64. */
export function randperm(n: number, options: RandomOptions = {}): Tensor {
  return run(RANDPERM, n, stream(options), dtypeCode(options.dtype ?? 'int64'), null, options.device ?? null);
}
/** Draws positions from each row of non-negative weights. */
export function multinomial(
  weights: Tensor,
  samples: number,
  options: { replacement?: boolean; generator?: Generator } = {},
): Tensor {
  if (!Number.isInteger(samples) || samples < 1) throw new ArgumentError('samples', 'an integer of at least 1', kindOf(samples));
  checkObject(options);
  return run(MULTINOMIAL, weights?.handle, samples, options.replacement ?? false, streamOf(options.generator));
}
/** 1 with the probability that each element gives, else 0. */
export function bernoulli(probabilities: Tensor, options: { generator?: Generator } = {}): Tensor {
  checkObject(options);
  return run(BERNOULLI, probabilities?.handle, streamOf(options.generator));
}
/** Fills with draws from N(mean, std²). */
export function normal_(tensor: Tensor, mean = 0, std = 1, generator?: Generator): Tensor {
  callInPlace(NORMAL_, tensor?.handle, mean, std, streamOf(generator));
  return tensor;
}
/** Fills with draws from [low, high). */
export function uniform_(tensor: Tensor, low = 0, high = 1, generator?: Generator): Tensor {
  callInPlace(UNIFORM_, tensor?.handle, low, high, streamOf(generator));
  return tensor;
}
/** Fills with draws from the exponential distribution. */
export function exponential_(tensor: Tensor, rate = 1, generator?: Generator): Tensor {
  callInPlace(EXPONENTIAL_, tensor?.handle, rate, streamOf(generator));
  return tensor;
}
