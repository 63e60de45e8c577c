import { linear, type Tensor } from '../tensor/index.ts';
import { type Initializer, initUniform, initZeros, parameter } from './init.ts';
import { Module } from './module.ts';
import type { Parameter } from './parameter.ts';

/** y = x·Wᵀ + b; x `[…, inFeatures]` → `[…, outFeatures]`. */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | null;

  constructor(inFeatures: number, outFeatures: number, options: { bias?: boolean; init?: Initializer } = {}) {
    super();
    const init = options.init ?? initUniform(1 / Math.sqrt(inFeatures));
    this.weight = parameter([outFeatures, inFeatures], init);
    this.bias = (options.bias ?? true) ? parameter([outFeatures], options.init === undefined ? init : initZeros) : null;
  }

  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }
}
