import { anObject, aSize, checkArgument } from '../native/arguments.ts';
import { layerNorm, type Tensor } from '../tensor/index.ts';
import { initOnes, initZeros, parameter } from './init.ts';
import { Module } from './module.ts';
import type { Parameter } from './parameter.ts';

/** (x − mean) / √(variance + eps) · weight + bias over the last dimension; the variance is the biased one. */
export class LayerNorm extends Module {
  /** `[size]`, ones at first; null with `affine: false`. */
  readonly weight: Parameter | null;
  /** `[size]`, zeros at first; null with `affine: false`. */
  readonly bias: Parameter | null;
  /** Added to the variance; 1e-5 unless told. */
  readonly eps: number;
  readonly #shape: readonly [number];

  constructor(size: number, options: { eps?: number; affine?: boolean } = {}) {
    super();
    checkArgument('size', size, aSize);
    checkArgument('options', options, anObject);
    const affine = options.affine ?? true;
    this.weight = affine ? parameter([size], initOnes) : null;
    this.bias = affine ? parameter([size], initZeros) : null;
    this.eps = options.eps ?? 1e-5;
    this.#shape = [size];
  }

  /** x `[…, size]` → the same shape. */
  forward(x: Tensor): Tensor {
    return layerNorm(x, this.#shape, this.weight, this.bias, this.eps);
  }
}
