import { type ActivationName, activation, initNormal, Linear, Module } from '../../nn/index.ts';
import type { Tensor } from '../../tensor/index.ts';

/** fc2(act(fc1(x))); x `[B, N, D]`. */
export class Mlp extends Module {
  readonly fc1: Linear;
  readonly fc2: Linear;
  readonly #act: (x: Tensor) => Tensor;

  constructor(size: number, inner: number, act: ActivationName, std: number) {
    super();
    this.fc1 = new Linear(size, inner, { init: initNormal(std) });
    this.fc2 = new Linear(inner, size, { init: initNormal(std) });
    this.#act = activation(act);
  }

  forward(x: Tensor): Tensor {
    // The widest tensors of the tower go as soon as they can: at a large batch they are most of the memory.
    const inner = this.fc1.forward(x);
    const active = this.#act(inner);
    inner.dispose();
    const out = this.fc2.forward(active);
    active.dispose();
    return out;
  }
}
