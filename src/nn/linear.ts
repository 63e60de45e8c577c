import { anObject, aSize, checkArgument } from '../native/arguments.ts';
import { linear, type Tensor } from '../tensor/index.ts';
import { type Initializer, initUniform, initZeros, parameter } from './init.ts';
import { Module } from './module.ts';
import type { Parameter } from './parameter.ts';

/** y = x·Wᵀ + b; x `[…, inFeatures]` → `[…, outFeatures]`. */
export class Linear extends Module {
  /** W, `[outFeatures, inFeatures]`. */
  readonly weight: Parameter;
  /** b, `[outFeatures]`, or null. */
  readonly bias: Parameter | null;

  /** New W and b are uniform in ±1/√inFeatures; with `init`, W is as it says and b is 0. */
  constructor(inFeatures: number, outFeatures: number, options: { bias?: boolean; init?: Initializer } = {}) {
    super();
    checkArgument('inFeatures', inFeatures, aSize);
    checkArgument('outFeatures', outFeatures, aSize);
    checkArgument('options', options, anObject);
    const init = options.init ?? initUniform(1 / Math.sqrt(inFeatures));
    this.weight = parameter([outFeatures, inFeatures], init);
    this.bias = (options.bias ?? true) ? parameter([outFeatures], options.init === undefined ? init : initZeros) : null;
  }

  /** x `[…, inFeatures]` → `[…, outFeatures]`. */
  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }
}
