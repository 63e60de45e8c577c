import { layerNorm, type Tensor } from '../tensor/index.ts';
import { initOnes, initZeros, parameter } from './init.ts';
import { Module } from './module.ts';
import type { Parameter } from './parameter.ts';

/** (x − mean) / √(variance + eps) · weight + bias over the last dimension; the variance is the biased one. */
export class LayerNorm extends Module {
  readonly weight: Parameter | null;
  readonly bias: Parameter | null;
  readonly eps: number;
  readonly #shape: readonly [number];

  constructor(size: number, options: { eps?: number; affine?: boolean } = {}) {
    super();
    const affine = options.affine ?? true;
    this.weight = affine ? parameter([size], initOnes) : null;
    this.bias = affine ? parameter([size], initZeros) : null;
    this.eps = options.eps ?? 1e-5;
    this.#shape = [size];
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.#shape, this.weight, this.bias, this.eps);
  }
}
