import { anObject, aSize, checkArgument } from '../native/arguments.ts';
import { checkTensors } from '../tensor/base.ts';
import { rmsNorm, type Tensor } from '../tensor/index.ts';
import { type Initializer, initOnes, parameter } from './init.ts';
import { Module } from './module.ts';
import type { Parameter } from './parameter.ts';

/**
 * x / √(mean(x²) + eps) · weight over the last dimension ("Root Mean Square Layer Normalization"). The mean is taken in float32. Where x and
 * the weight differ in dtype, the result has the weight's: a half-precision model may carry its residual sums in float32.
 */
export class RMSNorm extends Module {
  /** `[size]`, ones unless `init` says otherwise. */
  readonly weight: Parameter;
  /** Added to the mean square; 1e-6 unless told. */
  readonly eps: number;
  readonly #shape: readonly [number];

  constructor(size: number, options: { eps?: number; init?: Initializer } = {}) {
    super();
    checkArgument('size', size, aSize);
    checkArgument('options', options, anObject);
    this.weight = parameter([size], options.init ?? initOnes);
    this.eps = options.eps ?? 1e-6;
    this.#shape = [size];
  }

  /** x `[…, size]` → the same shape. */
  forward(x: Tensor): Tensor {
    checkTensors({ x });
    const { weight, eps } = this;
    if (x.dtype === weight.dtype) return rmsNorm(x, this.#shape, weight, eps);
    return rmsNorm(x.float(), this.#shape, null, eps).to(weight.dtype).mul(weight);
  }
}
