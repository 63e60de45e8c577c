import { ArgumentError } from '../native/errors.ts';
import { dropout, type Tensor } from '../tensor/index.ts';
import { Module } from './module.ts';

/** In training, zeroes elements with probability p and scales the others by 1/(1 − p); in evaluation, nothing. */
export class Dropout extends Module {
  /** Probability of dropping an element, in training. */
  readonly p: number;

  /** @throws ArgumentError where p is no probability */
  constructor(p: number) {
    super();
    if (!(p >= 0 && p <= 1)) throw new ArgumentError('p', 'a probability from 0 to 1', String(p));
    this.p = p;
  }

  /** x of any shape; the same tensor where nothing is dropped. */
  forward(x: Tensor): Tensor {
    return this.training && this.p > 0 ? dropout(x, this.p) : x;
  }
}
