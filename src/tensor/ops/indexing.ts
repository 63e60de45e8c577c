import { ArgumentError } from '../../native/errors.ts';
import { addon } from '../../native/load.ts';
import { describe, run, TensorBase, wrap } from '../base.ts';
import { call, callInPlace, native, operator } from '../dispatch.ts';
import type { Tensor } from '../tensor.ts';
import { Shape } from './shape.ts';

const INDEX = operator('index.Tensor');
const INDEX_PUT_ = operator('index_put_');
const INDEX_SELECT = operator('index_select');
const INDEX_FILL = operator('index_fill.int_Scalar');
const GATHER = operator('gather');
const SCATTER = operator('scatter.src');
const SCATTER_VALUE = operator('scatter.value');
const SCATTER_ = operator('scatter_.src');
const SCATTER_VALUE_ = operator('scatter_.value');
const SCATTER_ADD = operator('scatter_add');
const SCATTER_REDUCE = operator('scatter_reduce.two');
const MASKED_SELECT = operator('masked_select');
const INDEX_ADD = operator('index_add');
const TAKE_ALONG_DIM = operator('take_along_dim');
const UNSQUEEZE = operator('unsqueeze');
const SELECT = operator('select.int');
const SLICE = operator('slice.Tensor');
const COPY_ = operator('copy_');

/** A range of one dimension for {@link Indexing.index}: `slice(1, 3)`, `slice(null, -1)`, `slice(0, null, 2)`. */
export interface Slice {
  /** The first position; null, the beginning. Negative counts from the end. */
  readonly start: number | null;
  /** The position after the last; null, the end. Negative counts from the end. */
  readonly end: number | null;
  /** Positions from one to the next, at least 1. */
  readonly step: number;
}

/** Python's `start:end:step`. */
export function slice(start: number | null = null, end: number | null = null, step = 1): Slice {
  return { start, end, step };
}

/** An index of one dimension: a position, a range, `null` for a new dimension, `'...'`, or a tensor of positions or booleans. */
export type Index = number | Slice | null | '...' | Tensor;

/** Elements by their positions: reading and writing. */
export abstract class Indexing extends Shape {
  /**
   * Python's `self[i, 1:3, None, …]`: positions, {@link slice}s, `null`, `'...'`, and tensors of positions or booleans.
   * @example x.index(0, slice(1, 3), '...', null)
   */
  index(...indices: readonly Index[]): Tensor {
    const plan = viewOf(this, indices);
    if (plan.tensors.length === 0) return wrap(plan.handle);
    try {
      return run(INDEX, plan.handle, plan.tensors);
    } finally {
      addon.free(plan.handle);
    }
  }
  /** Python's `self[…] = value`. */
  indexPut_(indices: readonly Index[], value: Tensor): this {
    const plan = viewOf(this, indices);
    try {
      if (plan.tensors.length === 0) callInPlace(COPY_, plan.handle, value?.handle);
      else callInPlace(INDEX_PUT_, plan.handle, plan.tensors, value?.handle);
    } finally {
      addon.free(plan.handle);
    }
    return this;
  }
  /** Rows (or other slices) by a 1-D tensor of positions. */
  indexSelect(dim: number, positions: Tensor): Tensor {
    return run(INDEX_SELECT, this.handle, dim, positions?.handle);
  }
  /** A copy with `value` at the given positions of `dim`. */
  indexFill(dim: number, positions: Tensor, value: number): Tensor {
    return run(INDEX_FILL, this.handle, dim, positions?.handle, value);
  }
  /** A copy with `source` added at the given positions of `dim`, which may repeat. */
  indexAdd(dim: number, positions: Tensor, source: Tensor): Tensor {
    return run(INDEX_ADD, this.handle, dim, positions?.handle, source?.handle);
  }
  /** Like {@link gather}, with broadcasting. */
  takeAlongDim(positions: Tensor, dim: number): Tensor {
    return run(TAKE_ALONG_DIM, this.handle, positions?.handle, dim);
  }
  /** out[i, j] = self[positions[i, j], j] for `dim` 0, and so on. */
  gather(dim: number, positions: Tensor): Tensor {
    return run(GATHER, this.handle, dim, positions?.handle);
  }
  /** A copy with out[positions[i, j], j] = source[i, j] for `dim` 0, and so on. */
  scatter(dim: number, positions: Tensor, source: Tensor | number): Tensor {
    return typeof source === 'number'
      ? run(SCATTER_VALUE, this.handle, dim, positions?.handle, source)
      : run(SCATTER, this.handle, dim, positions?.handle, source?.handle);
  }
  /** {@link scatter} into the tensor itself. */
  scatter_(dim: number, positions: Tensor, source: Tensor | number): this {
    if (typeof source === 'number') callInPlace(SCATTER_VALUE_, this.handle, dim, positions?.handle, source);
    else callInPlace(SCATTER_, this.handle, dim, positions?.handle, source?.handle);
    return this;
  }
  /** Like {@link scatter}, but adding. */
  scatterAdd(dim: number, positions: Tensor, source: Tensor): Tensor {
    return run(SCATTER_ADD, this.handle, dim, positions?.handle, source?.handle);
  }
  /** Folds each element of `source` into the one at its position. */
  scatterReduce(dim: number, positions: Tensor, source: Tensor, reduce: 'sum' | 'prod' | 'mean' | 'amax' | 'amin'): Tensor {
    return run(SCATTER_REDUCE, this.handle, dim, positions?.handle, source?.handle, reduce);
  }
  /** The elements where `mask` holds, in a row. */
  maskedSelect(mask: Tensor): Tensor {
    return run(MASKED_SELECT, this.handle, mask?.handle);
  }
}

/** Applies the basic indices as views; leaves one entry a dimension for those that are tensors. The handle is the caller's. */
function viewOf(tensor: TensorBase, indices: readonly Index[]): { handle: number; tensors: (number | null)[] } {
  if (!Array.isArray(indices)) throw new ArgumentError('indices', 'an array of indices', describe(indices));
  if (indices.indexOf('...') !== indices.lastIndexOf('...')) throw new ArgumentError('indices', 'one "..." at most', 'several');
  const taken = indices.reduce<number>((count, index) => {
    if (index === null || index === '...') return count;
    return count + (index instanceof TensorBase && index.dtype === 'bool' ? index.ndim : 1);
  }, 0);
  let handle = native(() => addon.alias(tensor?.handle));
  const step = (op: number, ...values: readonly unknown[]): void => {
    const next = call(op, handle, ...values);
    addon.free(handle);
    handle = next;
  };
  const tensors: (number | null)[] = [];
  let advanced = false;
  let dim = 0;
  try {
    for (const index of indices) {
      if (index === null) {
        step(UNSQUEEZE, dim++);
        tensors.push(null);
      } else if (index === '...') {
        for (let skipped = tensor.ndim - taken; skipped > 0; skipped--) {
          tensors.push(null);
          dim++;
        }
      } else if (typeof index === 'number') {
        step(SELECT, dim, index);
      } else if (index instanceof TensorBase) {
        advanced = true;
        const all = index.dtype === 'bool' && index.ndim === 0; // takes all or nothing, in a new dimension
        if (all) step(UNSQUEEZE, dim);
        const positions = all ? (index as Tensor).unsqueeze(0) : index;
        tensors.push(positions.handle);
        dim += positions.dtype === 'bool' ? positions.ndim : 1;
      } else if (typeof index !== 'object' || !('step' in index)) {
        throw new ArgumentError('an index', 'a position, a slice, null, "..." or a tensor', describe(index));
      } else {
        step(SLICE, dim++, index.start, index.end, index.step);
        tensors.push(null);
      }
    }
  } catch (error) {
    addon.free(handle);
    throw error;
  }
  return { handle, tensors: advanced ? tensors : [] };
}
