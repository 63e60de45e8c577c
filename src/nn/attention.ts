import { ArgumentError } from '../native/errors.ts';
import { checkTensors } from '../tensor/base.ts';
import {
  type Dtype,
  dropout as dropWeights,
  full,
  scaledDotProductAttention,
  type Tensor,
  threads,
  zeros,
} from '../tensor/index.ts';

/** Beams of a prompt at most that count as few queries. */
const FEW = 8;

/** Options of {@link attention}. */
export interface AttentionOptions {
  /**
   * Added to the scores before the softmax, broadcast to `[B, H, Lq, Lk]`; or booleans, true where attention is allowed (where several
   * layers share a mask, {@link additiveMask} once is cheaper). A query that may see nothing gives zeros.
   */
  mask?: Tensor | null;
  /** The mask lets every query see something, which spares a look at each row; false unless told, and NaN where it is not so. */
  sighted?: boolean;
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
 *
 * @throws ArgumentError where both `mask` and `causal` are given
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  checkTensors({ q, k, v });
  const { sighted = false, causal = false, dropout = 0, scale = q.size(-1) ** -0.5 } = options;
  if (causal && options.mask != null) throw new ArgumentError('mask', 'none together with causal', 'both');
  const mask = options.mask == null ? null : additiveMask(options.mask, q.dtype);
  return fusedIsFastest(q, mask, dropout)
    ? scaledDotProductAttention(q, k, v, { mask, causal, dropout, scale })
    : explicit(q, k, v, { mask, sighted, causal, dropout, scale });
}

/** 0 where a boolean mask allows attention, −∞ elsewhere; a mask of numbers as it is. */
export function additiveMask(mask: Tensor, dtype: Dtype): Tensor {
  checkTensors({ mask });
  if (mask.dtype !== 'bool') return mask;
  return zeros(mask.shape, { dtype, device: mask.device }).maskedFill_(mask.logicalNot(), Number.NEGATIVE_INFINITY);
}

/**
 * On CUDA always. On the CPU the fused kernel has no dropout, no gradient of a mask, and a slow bfloat16 (its backward takes up to ten
 * times what separate products take), and several threads take longer over a few queries a head, as beams are, than one; `bench/attention.mjs`
 * measures all of it.
 */
function fusedIsFastest(q: Tensor, mask: Tensor | null, dropout: number): boolean {
  if (q.device !== 'cpu') return true;
  if (dropout > 0 || (q.dtype !== 'float32' && q.dtype !== 'float64') || (mask?.requiresGrad ?? false)) return false;
  const queries = q.size(2);
  return queries === 1 || queries > FEW || q.requiresGrad || threads() === 1;
}

/** Two batched matrix products around a softmax, the scale inside the first. */
function explicit(q: Tensor, k: Tensor, v: Tensor, options: Required<AttentionOptions>): Tensor {
  const { sighted, causal, dropout, scale } = options;
  const [batch, heads, queries, width] = q.shape as readonly [number, number, number, number];
  const keys = k.size(2);
  const flat = (x: Tensor): Tensor => x.reshape(batch * heads, x.size(2), x.size(3));
  const products = zeros([1], { dtype: q.dtype, device: q.device }).baddbmm(flat(q), flat(k).transpose(1, 2), 0, scale);
  const mask = causal ? future(queries, keys, q) : options.mask;
  const scores = products.view(batch, heads, queries, keys);
  const masked = mask === null ? scores : scores.add_(mask);
  const weights = mask === null || sighted ? masked.softmax(-1) : masked.safeSoftmax(-1);
  const kept = dropout > 0 ? dropWeights(weights, dropout) : weights;
  return kept
    .view(batch * heads, queries, keys)
    .bmm(flat(v))
    .view(batch, heads, queries, width);
}

/** −∞ above the diagonal, 0 elsewhere. */
function future(queries: number, keys: number, like: Tensor): Tensor {
  return full([queries, keys], Number.NEGATIVE_INFINITY, { dtype: like.dtype, device: like.device }).triu(1);
}
