import { addon } from '../../native/load.ts';
import { handlesOf, run, runSpread, wrap, wrapAll } from '../base.ts';
import { callMany, native, operator } from '../dispatch.ts';
import { type Dtype, dtypeCode } from '../dtype.ts';
import type { Tensor } from '../tensor.ts';
import { Reduction } from './reduction.ts';

const VIEW = operator('view');
const VIEW_DTYPE = operator('view.dtype');
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
const UNFOLD = operator('unfold');
const PAD = operator('constant_pad_nd');
const MOVEDIM = operator('movedim.int');
const DIAGONAL = operator('diagonal');

/** Views, and copies in another shape. */
export abstract class Shape extends Reduction {
  /** The same memory in another shape; one size may be −1. Fails where the strides do not allow it. */
  view(...shape: readonly number[]): Tensor {
    return runSpread(VIEW, this.handle, ...shape);
  }
  /** The same bytes as numbers of another dtype, of the same size unless the last dimension can make up for it (PyTorch's `view(dtype)`). */
  reinterpret(dtype: Dtype): Tensor {
    return run(VIEW_DTYPE, this.handle, dtypeCode(dtype));
  }
  /** A view where the strides allow one, else a copy. */
  reshape(...shape: readonly number[]): Tensor {
    return runSpread(RESHAPE, this.handle, ...shape);
  }
  /** Joins the dimensions from `startDim` to `endDim`. */
  flatten(startDim = 0, endDim = -1): Tensor {
    return run(FLATTEN, this.handle, startDim, endDim);
  }
  /** Splits one dimension into several. */
  unflatten(dim: number, sizes: readonly number[]): Tensor {
    return run(UNFLATTEN, this.handle, dim, sizes);
  }
  /** A view with the dimensions in another order. */
  permute(...dims: readonly number[]): Tensor {
    return runSpread(PERMUTE, this.handle, ...dims);
  }
  /** A view with two dimensions exchanged. */
  transpose(dim0: number, dim1: number): Tensor {
    return run(TRANSPOSE, this.handle, dim0, dim1);
  }
  /** A view without a dimension of size 1; where its size is another, the tensor stays as it is. */
  squeeze(dim: number): Tensor {
    return run(SQUEEZE, this.handle, dim);
  }
  /** A view with a new dimension of size 1. */
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
  /** The view `start:end:step` of one dimension. */
  slice(dim: number, start: number | null = null, end: number | null = null, step = 1): Tensor {
    return run(SLICE, this.handle, dim, start, end, step);
  }
  /** The view of `length` positions of one dimension. */
  narrow(dim: number, start: number, length: number): Tensor {
    return run(NARROW, this.handle, dim, start, length);
  }
  /** Views of `size` positions each (the last may have fewer), or of the given sizes. */
  split(size: number | readonly number[], dim = 0): Tensor[] {
    return wrapAll(callMany(typeof size === 'number' ? SPLIT : SPLIT_SIZES, this.handle, size, dim));
  }
  /** At most this many views of equal size; the last may be smaller. */
  chunk(chunks: number, dim = 0): Tensor[] {
    return wrapAll(callMany(CHUNK, this.handle, chunks, dim));
  }
  /** A view of each position of a dimension, which goes away. */
  unbind(dim = 0): Tensor[] {
    return wrapAll(callMany(UNBIND, this.handle, dim));
  }
  /** A copy with dimensions reversed. */
  flip(...dims: readonly number[]): Tensor {
    return runSpread(FLIP, this.handle, ...dims);
  }
  /** A copy with the elements shifted around along dimensions. */
  roll(shifts: number | readonly number[], dims: number | readonly number[]): Tensor {
    return run(ROLL, this.handle, shifts, dims);
  }
  /** The lower triangle, up to the given diagonal. */
  tril(diagonal = 0): Tensor {
    return run(TRIL, this.handle, diagonal);
  }
  /** The upper triangle, from the given diagonal on. */
  triu(diagonal = 0): Tensor {
    return run(TRIU, this.handle, diagonal);
  }
  /** The tensor in row-major order, copied only where it is not. */
  contiguous(): Tensor {
    return run(CONTIGUOUS, this.handle);
  }
  /** A copy, through which gradients flow. */
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

  /** A view of all windows of `size` along `dim`, every `step` positions; a new last dimension holds each window. */
  unfold(dim: number, size: number, step = 1): Tensor {
    return run(UNFOLD, this.handle, dim, size, step);
  }
  /** A view with one dimension moved to another place. */
  movedim(from: number, to: number): Tensor {
    return run(MOVEDIM, this.handle, from, to);
  }
  /** The view of a diagonal of two dimensions, as the last one. */
  diagonal(offset = 0, dim0 = 0, dim1 = 1): Tensor {
    return run(DIAGONAL, this.handle, offset, dim0, dim1);
  }
  /** Pads with a constant: `[left, right]` of the last dimension, then of the one before, … */
  pad(padding: readonly number[], value = 0): Tensor {
    return run(PAD, this.handle, padding, value);
  }
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
