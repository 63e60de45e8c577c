import { aCount, anObject, aSize, checkArgument } from '../native/arguments.ts';
import { conv2d, type Tensor } from '../tensor/index.ts';
import { type Initializer, initUniform, initZeros, parameter } from './init.ts';
import { Module } from './module.ts';
import type { Parameter } from './parameter.ts';

/** 2-D convolution with a square kernel and no padding; x `[B, in, H, W]` → `[B, out, H', W']`, H' = ⌊(H − kernel)/stride⌋ + 1. */
export class Conv2d extends Module {
  /** `[out, in, kernel, kernel]` */
  readonly weight: Parameter;
  /** `[out]`, or null. */
  readonly bias: Parameter | null;
  /** Pixels from one window to the next, in both directions; 1 unless told. */
  readonly stride: number;

  /** New weights and biases are uniform in ±1/√(in·kernel²); with `init`, weights are as it says and biases 0. */
  constructor(
    inChannels: number,
    outChannels: number,
    kernel: number,
    options: { stride?: number; bias?: boolean; init?: Initializer } = {},
  ) {
    super();
    checkArgument('inChannels', inChannels, aCount);
    checkArgument('outChannels', outChannels, aSize);
    checkArgument('kernel', kernel, aCount);
    checkArgument('options', options, anObject);
    const init = options.init ?? initUniform(1 / Math.sqrt(inChannels * kernel * kernel));
    this.weight = parameter([outChannels, inChannels, kernel, kernel], init);
    this.bias = (options.bias ?? true) ? parameter([outChannels], options.init === undefined ? init : initZeros) : null;
    this.stride = options.stride ?? 1;
  }

  /** x `[B, in, H, W]` → `[B, out, H', W']`. */
  forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, this.bias, this.stride);
  }
}
