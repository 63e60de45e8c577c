import { attention, type Linear, Module } from '../../nn/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { OptConfig } from './config.ts';

/** What a layer attends to besides, or instead of, its own keys and values. */
export interface AttentionContext {
  /** Added to the scores; null: causal when `causal`, else everything is seen. */
  mask: Tensor | null;
  causal: boolean;
  /** Where the new keys and values are written, `[B, H, L, D]`. */
  write: { keys: Tensor; values: Tensor } | null;
  /** What is attended to, once they are written; null: the new ones alone. */
  read: { keys: Tensor; values: Tensor } | null;
}

/** Multi-head self-attention with separate projections, as OPT names them. */
export class OptAttention extends Module {
  readonly kProj: Linear;
  readonly vProj: Linear;
  readonly qProj: Linear;
  readonly outProj: Linear;
  readonly #heads: number;
  readonly #headDim: number;
  readonly #dropout: number;

  constructor(config: OptConfig, linear: (inFeatures: number, outFeatures: number) => Linear) {
    super();
    const { hiddenSize, numAttentionHeads } = config;
    this.kProj = linear(hiddenSize, hiddenSize);
    this.vProj = linear(hiddenSize, hiddenSize);
    this.qProj = linear(hiddenSize, hiddenSize);
    this.outProj = linear(hiddenSize, hiddenSize);
    this.#heads = numAttentionHeads;
    this.#headDim = hiddenSize / numAttentionHeads;
    this.#dropout = config.attentionDropout;
  }

  #split(x: Tensor): Tensor {
    return x.unflatten(-1, [this.#heads, this.#headDim]).transpose(1, 2);
  }

  /** x `[B, L, hidden]` → `[B, L, hidden]` */
  forward(x: Tensor, context: AttentionContext): Tensor {
    const q = this.#split(this.qProj.forward(x));
    let keys = this.#split(this.kProj.forward(x));
    let values = this.#split(this.vProj.forward(x));
    if (context.write !== null) {
      context.write.keys.copy_(keys);
      context.write.values.copy_(values);
    }
    if (context.read !== null) ({ keys, values } = context.read);
    const { mask, causal } = context;
    const y = attention(q, keys, values, { mask, causal, dropout: this.training ? this.#dropout : 0 });
    return this.outProj.forward(y.transpose(1, 2).flatten(2));
  }
}
