import { dropout, type Tensor } from '../tensor/index.ts';
import { Module } from './module.ts';

/** In training, zeroes elements with probability p and scales the others by 1/(1 − p); in evaluation, nothing. */
export class Dropout extends Module {
  readonly p: number;

  constructor(p: number) {
    super();
    this.p = p;
  }

  forward(x: Tensor): Tensor {
    return this.training && this.p > 0 ? dropout(x, this.p) : x;
  }
}
