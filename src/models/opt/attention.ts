import { attention, type Linear, Module } from '../../nn/index.ts';
import { cat, linear, type Tensor } from '../../tensor/index.ts';
import type { OptConfig } from './config.ts';

/** What a layer attends to besides, or instead of, its own keys and values. */
export interface AttentionContext {
  /** Added to the scores; null: causal when `causal`, else everything is seen. */
  mask: Tensor | null;
  causal: boolean;
  /** Where the new keys and behind them the new values are written, `[2, B, H, L, D]`. */
  write: Tensor | null;
  /** What is attended to, once they are written; null: the new ones alone. */
  read: { keys: Tensor; values: Tensor } | null;
  /** What {@link OptAttention.together} made of the projections; null or left out: each goes by itself. */
  projection?: Projection | null;
}

/** Queries', keys' and values' projection as one. */
export interface Projection {
  /** `[3·hidden, hidden]` */
  readonly weight: Tensor;
  /** `[3·hidden]` */
  readonly bias: Tensor | null;
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

  /** The three projections as one, copied. Decoding a small model takes less time with it, as it starts fewer operators. */
  together(): Projection {
    const parts = [this.qProj, this.kProj, this.vProj];
    const biases = parts.flatMap(({ bias }) => bias ?? []);
    return { weight: cat(parts.map(({ weight }) => weight)), bias: biases.length === 0 ? null : cat(biases) };
  }

  /** x `[B, L, hidden]` → `[B, L, hidden]` */
  forward(x: Tensor, context: AttentionContext): Tensor {
    const { mask, causal, projection, write, read } = context;
    let q: Tensor;
    let keys: Tensor;
    let values: Tensor;
    if (projection != null && write !== null && read !== null) {
      const all = linear(x, projection.weight, projection.bias).unflatten(-1, [3, this.#heads, this.#headDim]);
      const parts = all.permute(2, 0, 3, 1, 4);
      write.copy_(parts.narrow(0, 1, 2));
      q = parts.select(0, 0);
      ({ keys, values } = read);
    } else {
      q = this.#split(this.qProj.forward(x));
      keys = this.#split(this.kProj.forward(x));
      values = this.#split(this.vProj.forward(x));
      write?.select(0, 0).copy_(keys);
      write?.select(0, 1).copy_(values);
      if (read !== null) ({ keys, values } = read);
    }
    const y = attention(q, keys, values, { mask, sighted: read !== null, causal, dropout: this.training ? this.#dropout : 0 });
    return this.outProj.forward(y.transpose(1, 2).flatten(2));
  }
}
