import { ArgumentError } from '../../native/errors.ts';
import { describe, handleOrNull, run, TensorBase, wrap } from '../base.ts';
import { checkObject, kindOf } from '../check.ts';
import { callMany, operator } from '../dispatch.ts';
import type { Tensor } from '../tensor.ts';

const CONV2D = operator('conv2d');
const LAYER_NORM = operator('layer_norm');
const RMS_NORM = operator('rms_norm');
const EMBEDDING = operator('embedding');
const DROPOUT = operator('dropout');
const NATIVE_DROPOUT = operator('native_dropout');
const SDPA = operator('scaled_dot_product_attention');
const CROSS_ENTROPY = operator('cross_entropy_loss');
const MSE_LOSS = operator('mse_loss');
const L1_LOSS = operator('l1_loss');
const BCE_LOGITS = operator('binary_cross_entropy_with_logits');
const COSINE = operator('cosine_similarity');
const WHERE = operator('where.self');
const NORM = operator('linalg_vector_norm');
const ONE_HOT = operator('one_hot');
const UPSAMPLE_BICUBIC = operator('upsample_bicubic2d');
const UPSAMPLE_BICUBIC_AA = operator('_upsample_bicubic2d_aa');

/** 2-D convolution; x `[B, in, H, W]`, weight `[out, in, kH, kW]`. */
export function conv2d(x: Tensor, weight: Tensor, bias: Tensor | null, stride: number, padding = 0): Tensor {
  return run(CONV2D, x?.handle, weight?.handle, handleOrNull(bias, 'bias'), stride, padding);
}

/** (x − mean) / √(variance + eps) · weight + bias over the last dimensions, with the biased variance. */
export function layerNorm(x: Tensor, shape: readonly number[], weight: Tensor | null, bias: Tensor | null, eps: number): Tensor {
  return run(LAYER_NORM, x?.handle, shape, handleOrNull(weight, 'weight'), handleOrNull(bias, 'bias'), eps);
}

/** x / √(mean(x²) + eps) · weight over the last dimensions. */
export function rmsNorm(x: Tensor, shape: readonly number[], weight: Tensor | null, eps: number): Tensor {
  return run(RMS_NORM, x?.handle, shape, handleOrNull(weight, 'weight'), eps);
}

/** x / max(‖x‖₂, 1e-12) over the last dimension. */
export function normalize(x: Tensor): Tensor {
  const length = run(NORM, x?.handle, 2, -1, true);
  return x.div(length.clamp(1e-12));
}

/** Rows of `weight` `[V, D]` by id. */
export function embedding(weight: Tensor, ids: Tensor): Tensor {
  return run(EMBEDDING, weight?.handle, ids?.handle);
}

/** Elements from which memory counts; below, PyTorch's `dropout` is the faster one. */
const LARGE = 2 ** 18;

/** Zeroes elements with probability p and scales the others by 1/(1 − p). */
export function dropout(x: Tensor, p: number): Tensor {
  if (!(x?.numel >= LARGE)) return run(DROPOUT, x?.handle, p, true);
  // On the CPU PyTorch's `dropout` keeps factors for the backward pass, this one booleans: a quarter of the memory, the same numbers.
  const [dropped, mask] = callMany<[number, number]>(NATIVE_DROPOUT, x.handle, p, true);
  wrap(mask).dispose();
  return wrap(dropped);
}

/**
 * PyTorch's scaled dot-product attention; q `[B, H, Lq, D]`, k and v `[B, H, Lk, D]`. Callers go through nn/attention, which knows when it
 * is fastest.
 */
export function scaledDotProductAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: { mask?: Tensor | null; dropout?: number; causal?: boolean; scale?: number | null } = {},
): Tensor {
  checkObject(options);
  // PyTorch's kernel for the CPU does not ask, and reads beyond the shorter one.
  if (k instanceof TensorBase && v instanceof TensorBase && k.shape.at(-2) !== v.shape.at(-2)) {
    throw new ArgumentError('v', `as many rows as k has (${k.shape.at(-2)})`, describe(v), {
      operator: 'scaled_dot_product_attention',
    });
  }
  const { mask = null, dropout: p = 0, causal = false, scale = null } = options;
  return run(SDPA, q?.handle, k?.handle, v?.handle, handleOrNull(mask, 'mask'), p, causal, scale);
}

/** What becomes of the losses of single elements. */
export type Reduction = 'none' | 'mean' | 'sum';

/** Options of {@link crossEntropy}. */
export interface CrossEntropyOptions {
  /** `'mean'` unless told. */
  reduction?: Reduction;
  /** Targets with this value do not count; −100 unless told. */
  ignoreIndex?: number;
  /** The share of each target that is spread over all classes; 0 unless told. */
  labelSmoothing?: number;
}

const REDUCTIONS: Readonly<Record<Reduction, number>> = { none: 0, mean: 1, sum: 2 };

function reductionCode(reduction: Reduction): number {
  if (!Object.hasOwn(REDUCTIONS, reduction)) throw new ArgumentError('reduction', '"none", "mean" or "sum"', kindOf(reduction));
  return REDUCTIONS[reduction];
}

/** Cross-entropy of logits `[N, C]` and targets: class indices `[N]`, or probabilities `[N, C]`. */
export function crossEntropy(logits: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  checkObject(options);
  const { reduction = 'mean', ignoreIndex = -100, labelSmoothing = 0 } = options;
  return run(CROSS_ENTROPY, logits?.handle, target?.handle, null, reductionCode(reduction), ignoreIndex, labelSmoothing);
}

/** The mean (or sum, or each) of (x − target)². */
export function mseLoss(x: Tensor, target: Tensor, reduction: Reduction = 'mean'): Tensor {
  return run(MSE_LOSS, x?.handle, target?.handle, reductionCode(reduction));
}

/** The mean (or sum, or each) of |x − target|. */
export function l1Loss(x: Tensor, target: Tensor, reduction: Reduction = 'mean'): Tensor {
  return run(L1_LOSS, x?.handle, target?.handle, reductionCode(reduction));
}

/** −(t·log σ(x) + (1 − t)·log(1 − σ(x))) for targets t in [0, 1], without overflow. */
export function binaryCrossEntropyWithLogits(x: Tensor, target: Tensor, reduction: Reduction = 'mean'): Tensor {
  return run(BCE_LOGITS, x?.handle, target?.handle, null, null, reductionCode(reduction));
}

/** a·b / max(‖a‖·‖b‖, eps) along a dimension. */
export function cosineSimilarity(a: Tensor, b: Tensor, dim = 1, eps = 1e-8): Tensor {
  return run(COSINE, a?.handle, b?.handle, dim, eps);
}

/** Elements of `a` where `condition` holds, of `b` elsewhere. */
export function where(condition: Tensor, a: Tensor, b: Tensor): Tensor {
  return run(WHERE, condition?.handle, a?.handle, b?.handle);
}

/** Class indices as rows of zeros with a one. */
export function oneHot(ids: Tensor, classes: number): Tensor {
  return run(ONE_HOT, ids?.handle, classes);
}

/** Bicubic resize of `[B, C, H, W]`, a = −0.75, no antialiasing: for position tables. */
export function upsampleBicubic(x: Tensor, size: readonly [height: number, width: number], alignCorners = false): Tensor {
  return run(UPSAMPLE_BICUBIC, x?.handle, size, alignCorners);
}

/** Antialiased bicubic resize of `[B, C, H, W]`, a = −0.5; on uint8 it rounds and clamps as Pillow does: for pictures. */
export function upsampleBicubicAntialiased(x: Tensor, size: readonly [height: number, width: number]): Tensor {
  return run(UPSAMPLE_BICUBIC_AA, x?.handle, size, false);
}
