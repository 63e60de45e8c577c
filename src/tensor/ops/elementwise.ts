import { run, TensorBase } from '../base.ts';
import { callInPlace, operator } from '../dispatch.ts';
import type { Tensor } from '../tensor.ts';

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
const EQ = operator('eq.Tensor');
const EQ_SCALAR = operator('eq.Scalar');
const NE = operator('ne.Tensor');
const NE_SCALAR = operator('ne.Scalar');
const LT = operator('lt.Tensor');
const LT_SCALAR = operator('lt.Scalar');
const LE = operator('le.Tensor');
const LE_SCALAR = operator('le.Scalar');
const GT = operator('gt.Tensor');
const GT_SCALAR = operator('gt.Scalar');
const GE = operator('ge.Tensor');
const GE_SCALAR = operator('ge.Scalar');
const LOGICAL_AND = operator('logical_and');
const LOGICAL_OR = operator('logical_or');
const LOGICAL_NOT = operator('logical_not');
const LOGICAL_OR_ = operator('logical_or_');
const ISFINITE = operator('isfinite');
const ISNAN = operator('isnan');
const MASKED_FILL = operator('masked_fill.Scalar');
const MASKED_FILL_TENSOR = operator('masked_fill.Tensor');
const MASKED_SCATTER = operator('masked_scatter');
const ADD_ = operator('add_.Tensor');
const ADD_SCALAR_ = operator('add_.Scalar');
const SUB_ = operator('sub_.Tensor');
const MUL_ = operator('mul_.Tensor');
const MUL_SCALAR_ = operator('mul_.Scalar');
const DIV_ = operator('div_.Tensor');
const DIV_SCALAR_ = operator('div_.Scalar');
const CLAMP_ = operator('clamp_');
const FILL_ = operator('fill_.Scalar');
const ZERO_ = operator('zero_');
const COPY_ = operator('copy_');
const MASKED_FILL_ = operator('masked_fill_.Scalar');
const LERP_ = operator('lerp_.Scalar');
const ADDCMUL_ = operator('addcmul_');
const ADDCDIV_ = operator('addcdiv_');

/** Operators that work on each element, with broadcasting. A name that ends in `_` changes the tensor itself. */
export abstract class Elementwise extends TensorBase {
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
  remainder(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(REMAINDER_SCALAR, this.handle, other) : run(REMAINDER, this.handle, other?.handle);
  }
  pow(exponent: Tensor | number): Tensor {
    return typeof exponent === 'number' ? run(POW_SCALAR, this.handle, exponent) : run(POW, this.handle, exponent?.handle);
  }
  neg(): Tensor {
    return run(NEG, this.handle);
  }
  abs(): Tensor {
    return run(ABS, this.handle);
  }
  exp(): Tensor {
    return run(EXP, this.handle);
  }
  /** Natural logarithm. */
  log(): Tensor {
    return run(LOG, this.handle);
  }
  log2(): Tensor {
    return run(LOG2, this.handle);
  }
  log1p(): Tensor {
    return run(LOG1P, this.handle);
  }
  sqrt(): Tensor {
    return run(SQRT, this.handle);
  }
  rsqrt(): Tensor {
    return run(RSQRT, this.handle);
  }
  reciprocal(): Tensor {
    return run(RECIPROCAL, this.handle);
  }
  sin(): Tensor {
    return run(SIN, this.handle);
  }
  cos(): Tensor {
    return run(COS, this.handle);
  }
  tanh(): Tensor {
    return run(TANH, this.handle);
  }
  sigmoid(): Tensor {
    return run(SIGMOID, this.handle);
  }
  relu(): Tensor {
    return run(RELU, this.handle);
  }
  /** x·Φ(x); `'tanh'` is the approximation that other sources call gelu_new. */
  gelu(approximate: 'none' | 'tanh' = 'none'): Tensor {
    return run(GELU, this.handle, approximate);
  }
  silu(): Tensor {
    return run(SILU, this.handle);
  }
  erf(): Tensor {
    return run(ERF, this.handle);
  }
  floor(): Tensor {
    return run(FLOOR, this.handle);
  }
  ceil(): Tensor {
    return run(CEIL, this.handle);
  }
  /** To the nearest integer, halves to even. */
  round(): Tensor {
    return run(ROUND, this.handle);
  }
  trunc(): Tensor {
    return run(TRUNC, this.handle);
  }
  sign(): Tensor {
    return run(SIGN, this.handle);
  }
  square(): Tensor {
    return run(SQUARE, this.handle);
  }
  clamp(min: number | null, max: number | null = null): Tensor {
    return run(CLAMP, this.handle, min, max);
  }
  maximum(other: Tensor): Tensor {
    return run(MAXIMUM, this.handle, other?.handle);
  }
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
  eq(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(EQ_SCALAR, this.handle, other) : run(EQ, this.handle, other?.handle);
  }
  ne(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(NE_SCALAR, this.handle, other) : run(NE, this.handle, other?.handle);
  }
  lt(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(LT_SCALAR, this.handle, other) : run(LT, this.handle, other?.handle);
  }
  le(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(LE_SCALAR, this.handle, other) : run(LE, this.handle, other?.handle);
  }
  gt(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(GT_SCALAR, this.handle, other) : run(GT, this.handle, other?.handle);
  }
  ge(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(GE_SCALAR, this.handle, other) : run(GE, this.handle, other?.handle);
  }
  logicalAnd(other: Tensor): Tensor {
    return run(LOGICAL_AND, this.handle, other?.handle);
  }
  logicalOr(other: Tensor): Tensor {
    return run(LOGICAL_OR, this.handle, other?.handle);
  }
  logicalNot(): Tensor {
    return run(LOGICAL_NOT, this.handle);
  }
  logicalOr_(other: Tensor): this {
    callInPlace(LOGICAL_OR_, this.handle, other?.handle);
    return this;
  }
  isfinite(): Tensor {
    return run(ISFINITE, this.handle);
  }
  isnan(): Tensor {
    return run(ISNAN, this.handle);
  }
  maskedFill(mask: Tensor, value: Tensor | number): Tensor {
    return typeof value === 'number'
      ? run(MASKED_FILL, this.handle, mask?.handle, value)
      : run(MASKED_FILL_TENSOR, this.handle, mask?.handle, value?.handle);
  }
  /** Puts the elements of `source`, in order, where `mask` holds. */
  maskedScatter(mask: Tensor, source: Tensor): Tensor {
    return run(MASKED_SCATTER, this.handle, mask?.handle, source?.handle);
  }

  add_(other: Tensor | number, alpha = 1): this {
    if (typeof other === 'number') callInPlace(ADD_SCALAR_, this.handle, other, alpha);
    else callInPlace(ADD_, this.handle, other?.handle, alpha);
    return this;
  }
  sub_(other: Tensor, alpha = 1): this {
    callInPlace(SUB_, this.handle, other?.handle, alpha);
    return this;
  }
  mul_(other: Tensor | number): this {
    if (typeof other === 'number') callInPlace(MUL_SCALAR_, this.handle, other);
    else callInPlace(MUL_, this.handle, other?.handle);
    return this;
  }
  div_(other: Tensor | number): this {
    if (typeof other === 'number') callInPlace(DIV_SCALAR_, this.handle, other);
    else callInPlace(DIV_, this.handle, other?.handle);
    return this;
  }
  clamp_(min: number | null, max: number | null = null): this {
    callInPlace(CLAMP_, this.handle, min, max);
    return this;
  }
  fill_(value: number): this {
    callInPlace(FILL_, this.handle, value);
    return this;
  }
  zero_(): this {
    callInPlace(ZERO_, this.handle);
    return this;
  }
  /** Copies the elements of `source`, cast and broadcast, from any device. */
  copy_(source: Tensor): this {
    callInPlace(COPY_, this.handle, source?.handle);
    return this;
  }
  maskedFill_(mask: Tensor, value: number): this {
    callInPlace(MASKED_FILL_, this.handle, mask?.handle, value);
    return this;
  }
  lerp_(end: Tensor, weight: number): this {
    callInPlace(LERP_, this.handle, end?.handle, weight);
    return this;
  }
  /** self + value·a·b */
  addcmul_(a: Tensor, b: Tensor, value = 1): this {
    callInPlace(ADDCMUL_, this.handle, a?.handle, b?.handle, value);
    return this;
  }
  /** self + value·a/b */
  addcdiv_(a: Tensor, b: Tensor, value = 1): this {
    callInPlace(ADDCDIV_, this.handle, a?.handle, b?.handle, value);
    return this;
  }
}
