import { arange, type Device, type Dtype, full, type Tensor, zeros } from '../../tensor/index.ts';
import type { T5Config } from './config.ts';

/** How distances between tokens share the rows of a table. */
export interface Bucketing {
  /** Whether keys after the query have buckets of their own (encoder); they share the query's otherwise (decoder). */
  bidirectional: boolean;
  /** Number of buckets, for both directions together. */
  buckets: number;
  /** From this distance on, all share the last bucket. */
  maxDistance: number;
}

/** The bucketing of a T5's encoder, or of its decoder. */
export function bucketing(config: T5Config, bidirectional: boolean): Bucketing {
  const { relativeAttentionNumBuckets: buckets, relativeAttentionMaxDistance: maxDistance } = config;
  return { bidirectional, buckets, maxDistance };
}

/**
 * The buckets of distances key − query, int64 to int64 of the same shape. Of n buckets a direction, the first m = ⌊n/2⌋ have one distance
 * each, the others ever more: r ≥ m is in m + ⌊ln(r/m) / ln(maxDistance/m) · (n − m)⌋, at most n − 1 ("Exploring the Limits of Transfer
 * Learning", §2.1). In float32, as in Hugging Face.
 */
export function positionBuckets(distances: Tensor, { bidirectional, buckets, maxDistance }: Bucketing): Tensor {
  const n = bidirectional ? Math.floor(buckets / 2) : buckets;
  const m = Math.floor(n / 2);
  const r = bidirectional ? distances.abs() : distances.clamp(null, 0).neg();
  const far = r
    .clamp(1)
    .float()
    .div(m)
    .log()
    .div(Math.log(maxDistance / m))
    .mul(n - m)
    .to('int64')
    .add(m)
    .clamp(null, n - 1);
  const bucket = r.where(r.lt(m), far);
  return bidirectional ? bucket.add(distances.gt(0).to('int64'), n) : bucket;
}

/**
 * The summand of the scores of queries 0, 1, …, Lq − 1 and keys 0, 1, …, Lk − 1 → `[1, H, Lq, Lk]`.
 * @param table `[buckets, H]`
 */
export function positionBias(table: Tensor, queries: number, keys: number, how: Bucketing): Tensor {
  const { device } = table;
  // A row of the result is a window of the same row of distances, which moves on by one a query.
  const distances = arange(1 - queries, keys, 1, { dtype: 'int64', device });
  const row = table.indexSelect(0, positionBuckets(distances, how)).transpose(0, 1);
  return row.unfold(1, keys, 1).flip(1).unsqueeze(0);
}

/**
 * The summand of the scores of a last query and the `keys` up to itself, in their order → `[1, H, 1, keys]`. Of fewer keys, it is the end.
 * @param table `[buckets, H]`
 */
export function pastBias(table: Tensor, keys: number, how: Bucketing): Tensor {
  const distances = arange(1 - keys, 1, 1, { dtype: 'int64', device: table.device });
  return table.indexSelect(0, positionBuckets(distances, how)).transpose(0, 1).contiguous().unsqueeze(0).unsqueeze(2);
}

/** Scores' summand `[B, 1, 1, L]`: 0 at tokens, −∞ at padding. mask `[B, L]`. */
export function paddingMask(attentionMask: Tensor, dtype: Dtype): Tensor {
  const [batch, length] = attentionMask.shape as [number, number];
  const padding = attentionMask.eq(0).view(batch, 1, 1, length);
  return zeros([batch, 1, 1, length], { dtype, device: attentionMask.device }).maskedFill_(padding, Number.NEGATIVE_INFINITY);
}

/** Scores' summand `[1, 1, L, L]`: −∞ for keys after the query. */
export function causalMask(length: number, dtype: Dtype, device: Device): Tensor {
  return full([1, 1, length, length], Number.NEGATIVE_INFINITY, { dtype, device }).triu(1);
}
