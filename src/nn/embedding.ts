import { anObject, aSize, checkArgument } from '../native/arguments.ts';
import { embedding, type Tensor } from '../tensor/index.ts';
import { type Initializer, initNormal, parameter } from './init.ts';
import { Module } from './module.ts';
import type { Parameter } from './parameter.ts';

/** Rows of a table by id: ids `[…]` → `[…, size]`. */
export class Embedding extends Module {
  /** The table, `[count, size]`. */
  readonly weight: Parameter;

  /** New rows are drawn from N(0, 1) unless `init` says otherwise. */
  constructor(count: number, size: number, options: { init?: Initializer } = {}) {
    super();
    checkArgument('count', count, aSize);
    checkArgument('size', size, aSize);
    checkArgument('options', options, anObject);
    this.weight = parameter([count, size], options.init ?? initNormal(1));
  }

  /** ids `[…]`, integers below `count`, → `[…, size]`. */
  forward(ids: Tensor): Tensor {
    return embedding(this.weight, ids);
  }
}
