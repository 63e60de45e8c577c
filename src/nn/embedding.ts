import { embedding, type Tensor } from '../tensor/index.ts';
import { type Initializer, initNormal, parameter } from './init.ts';
import { Module } from './module.ts';
import type { Parameter } from './parameter.ts';

/** Rows of a table by id: ids `[…]` → `[…, size]`. */
export class Embedding extends Module {
  readonly weight: Parameter;

  constructor(count: number, size: number, options: { init?: Initializer } = {}) {
    super();
    this.weight = parameter([count, size], options.init ?? initNormal(1));
  }

  forward(ids: Tensor): Tensor {
    return embedding(this.weight, ids);
  }
}
