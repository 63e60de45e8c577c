import { scaledDotProductAttention, type Tensor } from '../tensor/index.ts';

/** Options of {@link attention}. */
export interface AttentionOptions {
  /** Added to the scores before the softmax, broadcast to `[B, H, Lq, Lk]`; or booleans, true where attention is allowed. */
  mask?: Tensor | null;
  /** Position i sees positions ≤ i only. Not together with `mask`. */
  causal?: boolean;
  /** Probability of dropping an attention weight; 0 in evaluation. */
  dropout?: number;
  /** Factor of the scores; D^-0.5 unless told. */
  scale?: number;
}

/**
 * softmax(scale · q·kᵀ + mask) · v, by the fastest way for the device, dtype, mask and dropout.
 * q `[B, H, Lq, D]`, k and v `[B, H, Lk, D]` → `[B, H, Lq, D]` ("Attention Is All You Need", eq. 1).
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  const { mask = null, causal = false, dropout = 0, scale = null } = options;
  return scaledDotProductAttention(q, k, v, { mask, causal, dropout, scale });
}
