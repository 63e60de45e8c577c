import { run } from '../base.ts';
import { operator } from '../dispatch.ts';
import type { Tensor } from '../tensor.ts';
import { Comparison } from './comparison.ts';

const ADD = operator('add.Tensor');
const ADD_SCALAR = operator('add.Scalar');
const SUB = operator('sub.Tensor');
const SUB_SCALAR = operator('sub.Scalar');
const RSUB_SCALAR = operator('rsub.Scalar');
const MUL = operator('mul.Tensor');
const MUL_SCALAR = operator('mul.Scalar');
const DIV = operator('div.Tensor');
const DIV_SCALAR = operator('div.Scalar');
const DIV_MODE = operator('div.Tensor_mode');
const DIV_SCALAR_MODE = operator('div.Scalar_mode');
const REMAINDER = operator('remainder.Tensor');
const REMAINDER_SCALAR = operator('remainder.Scalar');
const POW = operator('pow.Tensor_Tensor');
const POW_SCALAR = operator('pow.Tensor_Scalar');
const NEG = operator('neg');
const ABS = operator('abs');
const EXP = operator('exp');
const LOG = operator('log');
const LOG2 = operator('log2');
const LOG1P = operator('log1p');
const SQRT = operator('sqrt');
const RSQRT = operator('rsqrt');
const RECIPROCAL = operator('reciprocal');
const SIN = operator('sin');
const COS = operator('cos');
const TANH = operator('tanh');
const SIGMOID = operator('sigmoid');
const RELU = operator('relu');
const GELU = operator('gelu');
const SILU = operator('silu');
const ERF = operator('erf');
const FLOOR = operator('floor');
const CEIL = operator('ceil');
const ROUND = operator('round');
const TRUNC = operator('trunc');
const SIGN = operator('sign');
const SQUARE = operator('square');
const CLAMP = operator('clamp');
const MAXIMUM = operator('maximum');
const MINIMUM = operator('minimum');
const WHERE = operator('where.self');
const WHERE_SCALAR = operator('where.ScalarOther');
const LERP = operator('lerp.Scalar');
const MASKED_FILL = operator('masked_fill.Scalar');
const MASKED_FILL_TENSOR = operator('masked_fill.Tensor');
const MASKED_SCATTER = operator('masked_scatter');
const TAN = operator('tan');
const EXPM1 = operator('expm1');
const SOFTPLUS = operator('softplus');
const LEAKY_RELU = operator('leaky_relu');
const NAN_TO_NUM = operator('nan_to_num');
const FMOD = operator('fmod.Tensor');
const FMOD_SCALAR = operator('fmod.Scalar');
const ADDCMUL = operator('addcmul');
const ADDCDIV = operator('addcdiv');
const ATAN2 = operator('atan2');

/** Operators that work on each element, with broadcasting. */
export abstract class Elementwise extends Comparison {
  /** self + alpha·other */
  add(other: Tensor | number, alpha = 1): Tensor {
    return typeof other === 'number' ? run(ADD_SCALAR, this.handle, other, alpha) : run(ADD, this.handle, other?.handle, alpha);
  }
  /** self − alpha·other */
  sub(other: Tensor | number, alpha = 1): Tensor {
    return typeof other === 'number' ? run(SUB_SCALAR, this.handle, other, alpha) : run(SUB, this.handle, other?.handle, alpha);
  }
  /** other − self */
  rsub(other: number): Tensor {
    return run(RSUB_SCALAR, this.handle, other);
  }
  /** self·other */
  mul(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(MUL_SCALAR, this.handle, other) : run(MUL, this.handle, other?.handle);
  }
  /** Quotient; with `rounding`, `'trunc'` or `'floor'` of it, in the dtype of the operands. */
  div(other: Tensor | number, rounding?: 'trunc' | 'floor'): Tensor {
    if (rounding !== undefined) {
      return typeof other === 'number'
        ? run(DIV_SCALAR_MODE, this.handle, other, rounding)
        : run(DIV_MODE, this.handle, other?.handle, rounding);
    }
    return typeof other === 'number' ? run(DIV_SCALAR, this.handle, other) : run(DIV, this.handle, other?.handle);
  }
  /** The remainder of a quotient that is rounded down: it has the sign of `other`. */
  remainder(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(REMAINDER_SCALAR, this.handle, other) : run(REMAINDER, this.handle, other?.handle);
  }
  /** self to the power of `exponent`. */
  pow(exponent: Tensor | number): Tensor {
    return typeof exponent === 'number' ? run(POW_SCALAR, this.handle, exponent) : run(POW, this.handle, exponent?.handle);
  }
  /** −self */
  neg(): Tensor {
    return run(NEG, this.handle);
  }
  /** Magnitude. */
  abs(): Tensor {
    return run(ABS, this.handle);
  }
  /** e to the power of self. */
  exp(): Tensor {
    return run(EXP, this.handle);
  }
  /** Natural logarithm. */
  log(): Tensor {
    return run(LOG, this.handle);
  }
  /** Logarithm to base 2. */
  log2(): Tensor {
    return run(LOG2, this.handle);
  }
  /** log(1 + x), exact near 0. */
  log1p(): Tensor {
    return run(LOG1P, this.handle);
  }
  /** Square root. */
  sqrt(): Tensor {
    return run(SQRT, this.handle);
  }
  /** 1 / √x */
  rsqrt(): Tensor {
    return run(RSQRT, this.handle);
  }
  /** 1 / x */
  reciprocal(): Tensor {
    return run(RECIPROCAL, this.handle);
  }
  /** Sine. */
  sin(): Tensor {
    return run(SIN, this.handle);
  }
  /** Cosine. */
  cos(): Tensor {
    return run(COS, this.handle);
  }
  /** Hyperbolic tangent. */
  tanh(): Tensor {
    return run(TANH, this.handle);
  }
  /** 1 / (1 + exp(−x)) */
  sigmoid(): Tensor {
    return run(SIGMOID, this.handle);
  }
  /** max(x, 0) */
  relu(): Tensor {
    return run(RELU, this.handle);
  }
  /** x·Φ(x); `'tanh'` is the approximation that other sources call gelu_new. */
  gelu(approximate: 'none' | 'tanh' = 'none'): Tensor {
    return run(GELU, this.handle, approximate);
  }
  /** x·sigmoid(x), also called swish. */
  silu(): Tensor {
    return run(SILU, this.handle);
  }
  /** The error function. */
  erf(): Tensor {
    return run(ERF, this.handle);
  }
  /** Down to an integer. */
  floor(): Tensor {
    return run(FLOOR, this.handle);
  }
  /** Up to an integer. */
  ceil(): Tensor {
    return run(CEIL, this.handle);
  }
  /** To the nearest integer, halves to even. */
  round(): Tensor {
    return run(ROUND, this.handle);
  }
  /** Towards 0 to an integer. */
  trunc(): Tensor {
    return run(TRUNC, this.handle);
  }
  /** −1, 0 or 1. */
  sign(): Tensor {
    return run(SIGN, this.handle);
  }
  /** x² */
  square(): Tensor {
    return run(SQUARE, this.handle);
  }
  /** Not below `min`, not above `max`; null leaves a side open. */
  clamp(min: number | null, max: number | null = null): Tensor {
    return run(CLAMP, this.handle, min, max);
  }
  /** The larger of both, element by element; NaN wins. */
  maximum(other: Tensor): Tensor {
    return run(MAXIMUM, this.handle, other?.handle);
  }
  /** The smaller of both, element by element; NaN wins. */
  minimum(other: Tensor): Tensor {
    return run(MINIMUM, this.handle, other?.handle);
  }
  /** Elements of self where `condition` holds, of `other` elsewhere. */
  where(condition: Tensor, other: Tensor | number): Tensor {
    return typeof other === 'number'
      ? run(WHERE_SCALAR, condition?.handle, this.handle, other)
      : run(WHERE, condition?.handle, this.handle, other?.handle);
  }
  /** self + weight·(end − self) */
  lerp(end: Tensor, weight: number): Tensor {
    return run(LERP, this.handle, end?.handle, weight);
  }
  /** `value` where `mask` holds, self elsewhere. */
  maskedFill(mask: Tensor, value: Tensor | number): Tensor {
    return typeof value === 'number'
      ? run(MASKED_FILL, this.handle, mask?.handle, value)
      : run(MASKED_FILL_TENSOR, this.handle, mask?.handle, value?.handle);
  }
  /** Puts the elements of `source`, in order, where `mask` holds. */
  maskedScatter(mask: Tensor, source: Tensor): Tensor {
    return run(MASKED_SCATTER, this.handle, mask?.handle, source?.handle);
  }
  /** exp(x) − 1, exact near 0. */
  expm1(): Tensor {
    return run(EXPM1, this.handle);
  }
  /** Tangent. */
  tan(): Tensor {
    return run(TAN, this.handle);
  }
  /** The angle of the point (other, self), in (−π, π]. */
  atan2(other: Tensor): Tensor {
    return run(ATAN2, this.handle, other?.handle);
  }
  /** log(1 + exp(beta·x)) / beta */
  softplus(beta = 1): Tensor {
    return run(SOFTPLUS, this.handle, beta);
  }
  /** x where it is positive, else slope·x. */
  leakyRelu(slope = 0.01): Tensor {
    return run(LEAKY_RELU, this.handle, slope);
  }
  /** The remainder of a quotient that is rounded towards 0: it has the sign of self. */
  fmod(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(FMOD_SCALAR, this.handle, other) : run(FMOD, this.handle, other?.handle);
  }
  /** self + value·a·b */
  addcmul(a: Tensor, b: Tensor, value = 1): Tensor {
    return run(ADDCMUL, this.handle, a?.handle, b?.handle, value);
  }
  /** self + value·a/b */
  addcdiv(a: Tensor, b: Tensor, value = 1): Tensor {
    return run(ADDCDIV, this.handle, a?.handle, b?.handle, value);
  }
  /** Replaces NaN, ∞ and −∞; the infinities by the dtype's extremes unless told. */
  nanToNum(nan = 0, positive: number | null = null, negative: number | null = null): Tensor {
    return run(NAN_TO_NUM, this.handle, nan, positive, negative);
  }
}
