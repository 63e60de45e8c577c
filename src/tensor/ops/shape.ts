import { ArgumentError } from '../../native/errors.ts';
import { addon } from '../../native/load.ts';
import { describe, handlesOf, run, runSpread, TensorBase, wrap, wrapAll } from '../base.ts';
import { call, callInPlace, callMany, native, operator } from '../dispatch.ts';
import type { Tensor } from '../tensor.ts';
import { Reduction } from './reduction.ts';

const VIEW = operator('view');
const RESHAPE = operator('reshape');
const FLATTEN = operator('flatten.using_ints');
const UNFLATTEN = operator('unflatten.int');
const PERMUTE = operator('permute');
const TRANSPOSE = operator('transpose.int');
const SQUEEZE = operator('squeeze.dim');
const UNSQUEEZE = operator('unsqueeze');
const EXPAND = operator('expand');
const REPEAT = operator('repeat');
const REPEAT_INTERLEAVE = operator('repeat_interleave.self_int');
const SELECT = operator('select.int');
const SLICE = operator('slice.Tensor');
const NARROW = operator('narrow');
const SPLIT = operator('split.Tensor');
const SPLIT_SIZES = operator('split_with_sizes');
const CHUNK = operator('chunk');
const UNBIND = operator('unbind.int');
const FLIP = operator('flip');
const ROLL = operator('roll');
const TRIL = operator('tril');
const TRIU = operator('triu');
const CONTIGUOUS = operator('contiguous');
const CLONE = operator('clone');
const DETACH = operator('detach');
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
const UNFOLD = operator('unfold');
const MASKED_SELECT = operator('masked_select');
const PAD = operator('constant_pad_nd');

/** A range of one dimension for {@link Shape.index}: `slice(1, 3)`, `slice(null, -1)`, `slice(0, null, 2)`. */
export interface Slice {
  readonly start: number | null;
  readonly end: number | null;
  readonly step: number;
}

/** Python's `start:end:step`. */
export function slice(start: number | null = null, end: number | null = null, step = 1): Slice {
  return { start, end, step };
}

/** An index of one dimension: a position, a range, `null` for a new dimension, `'...'`, or a tensor of positions or booleans. */
export type Index = number | Slice | null | '...' | Tensor;

/** Views, copies in another shape, and indexing. */
export abstract class Shape extends Reduction {
  view(...shape: readonly number[]): Tensor {
    return runSpread(VIEW, this.handle, ...shape);
  }
  /** A view where the strides allow one, else a copy. */
  reshape(...shape: readonly number[]): Tensor {
    return runSpread(RESHAPE, this.handle, ...shape);
  }
  flatten(startDim = 0, endDim = -1): Tensor {
    return run(FLATTEN, this.handle, startDim, endDim);
  }
  unflatten(dim: number, sizes: readonly number[]): Tensor {
    return run(UNFLATTEN, this.handle, dim, sizes);
  }
  permute(...dims: readonly number[]): Tensor {
    return runSpread(PERMUTE, this.handle, ...dims);
  }
  transpose(dim0: number, dim1: number): Tensor {
    return run(TRANSPOSE, this.handle, dim0, dim1);
  }
  squeeze(dim: number): Tensor {
    return run(SQUEEZE, this.handle, dim);
  }
  unsqueeze(dim: number): Tensor {
    return run(UNSQUEEZE, this.handle, dim);
  }
  /** A view that repeats dimensions of size 1; −1 leaves a size as it is. */
  expand(...shape: readonly number[]): Tensor {
    return runSpread(EXPAND, this.handle, ...shape);
  }
  /** A copy that repeats the whole along each dimension. */
  repeat(...times: readonly number[]): Tensor {
    return runSpread(REPEAT, this.handle, ...times);
  }
  /** A copy that repeats each element along `dim`: a, a, b, b. */
  repeatInterleave(repeats: number, dim: number): Tensor {
    return run(REPEAT_INTERLEAVE, this.handle, repeats, dim);
  }
  /** The view at one position of a dimension, which goes away. */
  select(dim: number, position: number): Tensor {
    return run(SELECT, this.handle, dim, position);
  }
  slice(dim: number, start: number | null = null, end: number | null = null, step = 1): Tensor {
    return run(SLICE, this.handle, dim, start, end, step);
  }
  narrow(dim: number, start: number, length: number): Tensor {
    return run(NARROW, this.handle, dim, start, length);
  }
  split(size: number | readonly number[], dim = 0): Tensor[] {
    return wrapAll(callMany(typeof size === 'number' ? SPLIT : SPLIT_SIZES, this.handle, size, dim));
  }
  chunk(chunks: number, dim = 0): Tensor[] {
    return wrapAll(callMany(CHUNK, this.handle, chunks, dim));
  }
  unbind(dim = 0): Tensor[] {
    return wrapAll(callMany(UNBIND, this.handle, dim));
  }
  flip(...dims: readonly number[]): Tensor {
    return runSpread(FLIP, this.handle, ...dims);
  }
  roll(shifts: number | readonly number[], dims: number | readonly number[]): Tensor {
    return run(ROLL, this.handle, shifts, dims);
  }
  /** The lower triangle, up to the given diagonal. */
  tril(diagonal = 0): Tensor {
    return run(TRIL, this.handle, diagonal);
  }
  triu(diagonal = 0): Tensor {
    return run(TRIU, this.handle, diagonal);
  }
  contiguous(): Tensor {
    return run(CONTIGUOUS, this.handle);
  }
  clone(): Tensor {
    return run(CLONE, this.handle);
  }
  /** The same elements, cut off from the graph of gradients. */
  detach(): Tensor {
    return run(DETACH, this.handle);
  }
  /** A second tensor object of the same tensor, with a life of its own. */
  alias(): Tensor {
    return wrap(native(() => addon.alias(this.handle)));
  }

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
      if (plan.tensors.length === 0) callInPlace(operatorCopy, plan.handle, value?.handle);
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
  gather(dim: number, positions: Tensor): Tensor {
    return run(GATHER, this.handle, dim, positions?.handle);
  }
  scatter(dim: number, positions: Tensor, source: Tensor | number): Tensor {
    return typeof source === 'number'
      ? run(SCATTER_VALUE, this.handle, dim, positions?.handle, source)
      : run(SCATTER, this.handle, dim, positions?.handle, source?.handle);
  }
  scatter_(dim: number, positions: Tensor, source: Tensor | number): this {
    if (typeof source === 'number') callInPlace(SCATTER_VALUE_, this.handle, dim, positions?.handle, source);
    else callInPlace(SCATTER_, this.handle, dim, positions?.handle, source?.handle);
    return this;
  }
  scatterAdd(dim: number, positions: Tensor, source: Tensor): Tensor {
    return run(SCATTER_ADD, this.handle, dim, positions?.handle, source?.handle);
  }
  /** Folds each element of `source` into the one at its position. */
  scatterReduce(dim: number, positions: Tensor, source: Tensor, reduce: 'sum' | 'prod' | 'mean' | 'amax' | 'amin'): Tensor {
    return run(SCATTER_REDUCE, this.handle, dim, positions?.handle, source?.handle, reduce);
  }
  /** A view of all windows of `size` along `dim`, every `step` positions; a new last dimension holds each window. */
  unfold(dim: number, size: number, step = 1): Tensor {
    return run(UNFOLD, this.handle, dim, size, step);
  }
  /** The elements where `mask` holds, in a row. */
  maskedSelect(mask: Tensor): Tensor {
    return run(MASKED_SELECT, this.handle, mask?.handle);
  }
  /** Pads with a constant: `[left, right]` of the last dimension, then of the one before, … */
  pad(padding: readonly number[], value = 0): Tensor {
    return run(PAD, this.handle, padding, value);
  }
}

const operatorCopy = operator('copy_');

/** Applies the basic indices as views; leaves one entry a dimension for those that are tensors. The handle is the caller's. */
function viewOf(tensor: TensorBase, indices: readonly Index[]): { handle: number; tensors: (number | null)[] } {
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

const CAT = operator('cat');
const STACK = operator('stack');

/** Joins tensors along a dimension they have. */
export function cat(tensors: readonly Tensor[], dim = 0): Tensor {
  return run(CAT, handlesOf(tensors), dim);
}

/** Joins tensors along a new dimension. */
export function stack(tensors: readonly Tensor[], dim = 0): Tensor {
  return run(STACK, handlesOf(tensors), dim);
}
