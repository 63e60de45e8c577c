// R rows (queries), C columns (candidates), K depth.
import { arange, cat, scope, type Tensor } from '../../tensor/index.ts';

// Scores are compared as whole numbers, so that ties have an order: a float's bits, turned so that they grow with it, above the candidate's
// number counted down. Then the greatest numbers are the best scores, of equal ones the first candidates, whatever the device and the blocks.
const LOW = 2 ** 32;
const SIGN = 2 ** 31;

/** Scores `[R, C]` float32 → int64 that grow with them. NaN is below all else. */
export function orderOf(scores: Tensor): Tensor {
  // −0 and 0 are equal, but for their bits.
  const numbers = scores.float().add(0).nanToNum(-Infinity, Infinity, -Infinity);
  return turned(numbers.contiguous().reinterpret('int32').long());
}

/** Negative floats' bits grow as they fall. Its own inverse. */
function turned(bits: Tensor): Tensor {
  return bits
    .neg()
    .sub(SIGN + 1)
    .where(bits.lt(0), bits);
}

/**
 * The K best of the best so far and of more candidates, best first, as keys that hold score and candidate.
 * @param before keys `[R, ≤ K]`; null at first
 * @param order of {@link orderOf}, `[R, C]`
 * @param first number of the first of these candidates
 */
export function best(before: Tensor | null, order: Tensor, first: number, depth: number): Tensor {
  return scope(() => {
    const count = order.size(1);
    const keys = order.mul(LOW).add(countdown(first, count, order));
    const all = before === null ? keys : cat([before, keys], 1);
    return all.topk(Math.min(depth, all.size(1))).values;
  });
}

function countdown(first: number, count: number, like: Tensor): Tensor {
  return arange(LOW - 1 - first, LOW - 1 - first - count, -1, { dtype: 'int64', device: like.device });
}

/** What keys `[R, K]` hold: candidates and their scores, row by row. */
export function decode(keys: Tensor): { candidates: Int32Array; scores: Float32Array } {
  return scope(() => {
    const low = keys.remainder(LOW);
    const bits = turned(keys.sub(low).div(LOW, 'floor'));
    return {
      candidates: low
        .neg()
        .add(LOW - 1)
        .to('int32')
        .data() as Int32Array,
      scores: bits.to('int32').reinterpret('float32').data() as Float32Array,
    };
  });
}
