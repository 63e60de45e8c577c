import { type Dtype, full, type Tensor } from '../../tensor/index.ts';

/** Positions that count what is not padding, `cumsum(mask)·mask − 1`; padding gets −1. mask `[B, L]` → `[B, L]` int64. */
export function positionsOf(attentionMask: Tensor): Tensor {
  const mask = attentionMask.to('int64');
  return mask.cumsum(1).mul(mask).sub(1);
}

/** Scores' summand `[B, 1, L, L]`: 0 where key j ≤ query i is no padding, −∞ elsewhere. mask `[B, L]`. */
export function causalMask(attentionMask: Tensor, dtype: Dtype): Tensor {
  const [batch, length] = attentionMask.shape as [number, number];
  const { device } = attentionMask;
  const future = full([length, length], Number.NEGATIVE_INFINITY, { dtype, device }).triu(1);
  return future.expand(batch, 1, -1, -1).maskedFill(attentionMask.eq(0).view(batch, 1, 1, length), Number.NEGATIVE_INFINITY);
}
