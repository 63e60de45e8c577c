import { attention, Embedding, initNormal, Linear, Module } from '../../nn/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { T5Config } from './config.ts';

// B batch, Lq and Lk lengths, D model width, H heads, K width of a head

/** Keys and values of all heads, `[B, H, Lk, K]`. */
export interface KeyValues {
  keys: Tensor;
  values: Tensor;
}

/** Multi-head attention without biases and without a factor for the scores, with separate projections, as T5 names them. */
export class T5Attention extends Module {
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly o: Linear;
  /** `[buckets, H]`; only a stack's first block has one, which serves all its blocks. */
  readonly relativeAttentionBias: Embedding | null;
  readonly #heads: number;
  readonly #headDim: number;
  readonly #dropout: number;

  constructor(config: T5Config, hasRelativeAttentionBias: boolean) {
    super();
    const { dModel, dKv, numHeads, initializerFactor: factor } = config;
    const inner = numHeads * dKv;
    const dense = (inFeatures: number, outFeatures: number, std: number): Linear =>
      new Linear(inFeatures, outFeatures, { bias: false, init: initNormal(factor * std) });
    this.q = dense(dModel, inner, (dModel * dKv) ** -0.5);
    this.k = dense(dModel, inner, dModel ** -0.5);
    this.v = dense(dModel, inner, dModel ** -0.5);
    this.o = dense(inner, dModel, inner ** -0.5);
    const table = { init: initNormal(factor * dModel ** -0.5) };
    this.relativeAttentionBias = hasRelativeAttentionBias
      ? new Embedding(config.relativeAttentionNumBuckets, numHeads, table)
      : null;
    this.#heads = numHeads;
    this.#headDim = dKv;
    this.#dropout = config.dropoutRate;
  }

  #split(x: Tensor): Tensor {
    return x.unflatten(-1, [this.#heads, this.#headDim]).transpose(1, 2);
  }

  /** x `[B, Lk, D]` */
  keyValues(x: Tensor): KeyValues {
    return { keys: this.#split(this.k.forward(x)), values: this.#split(this.v.forward(x)) };
  }

  /**
   * x `[B, Lq, D]` → `[B, Lq, D]`
   * @param bias added to the scores, broadcast to `[B, H, Lq, Lk]`: position bias, masks, or both; null: nothing
   */
  attend(x: Tensor, { keys, values }: KeyValues, bias: Tensor | null): Tensor {
    const options = { mask: bias, scale: 1, dropout: this.training ? this.#dropout : 0 };
    const y = attention(this.#split(this.q.forward(x)), keys, values, options);
    return this.o.forward(y.transpose(1, 2).flatten(2));
  }
}
