import { callInPlace, operator } from '../dispatch.ts';
import type { Tensor } from '../tensor.ts';
import { Elementwise } from './elementwise.ts';

const LOGICAL_OR_ = operator('logical_or_');
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
const POW_ = operator('pow_.Scalar');
const NEG_ = operator('neg_');
const EXP_ = operator('exp_');
const SQRT_ = operator('sqrt_');
const RELU_ = operator('relu_');
const SIGMOID_ = operator('sigmoid_');
const SUB_SCALAR_ = operator('sub_.Scalar');

/** Operators whose names end in `_`: they change the tensor itself, and return it. */
export abstract class InPlace extends Elementwise {
  /** self + alpha·other */
  add_(other: Tensor | number, alpha = 1): this {
    if (typeof other === 'number') callInPlace(ADD_SCALAR_, this.handle, other, alpha);
    else callInPlace(ADD_, this.handle, other?.handle, alpha);
    return this;
  }
  /** self − alpha·other */
  sub_(other: Tensor | number, alpha = 1): this {
    if (typeof other === 'number') callInPlace(SUB_SCALAR_, this.handle, other, alpha);
    else callInPlace(SUB_, this.handle, other?.handle, alpha);
    return this;
  }
  /** self·other */
  mul_(other: Tensor | number): this {
    if (typeof other === 'number') callInPlace(MUL_SCALAR_, this.handle, other);
    else callInPlace(MUL_, this.handle, other?.handle);
    return this;
  }
  /** self / other */
  div_(other: Tensor | number): this {
    if (typeof other === 'number') callInPlace(DIV_SCALAR_, this.handle, other);
    else callInPlace(DIV_, this.handle, other?.handle);
    return this;
  }
  /** Not below `min`, not above `max`; null leaves a side open. */
  clamp_(min: number | null, max: number | null = null): this {
    callInPlace(CLAMP_, this.handle, min, max);
    return this;
  }
  /** `value` everywhere. */
  fill_(value: number): this {
    callInPlace(FILL_, this.handle, value);
    return this;
  }
  /** 0 everywhere. */
  zero_(): this {
    callInPlace(ZERO_, this.handle);
    return this;
  }
  /** Copies the elements of `source`, cast and broadcast, from any device. */
  copy_(source: Tensor): this {
    callInPlace(COPY_, this.handle, source?.handle);
    return this;
  }
  /** `value` where `mask` holds. */
  maskedFill_(mask: Tensor, value: number): this {
    callInPlace(MASKED_FILL_, this.handle, mask?.handle, value);
    return this;
  }
  /** self + weight·(end − self) */
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
  /** Where one of both is not zero. */
  logicalOr_(other: Tensor): this {
    callInPlace(LOGICAL_OR_, this.handle, other?.handle);
    return this;
  }
  /** Each element to the power of `exponent`. */
  pow_(exponent: number): this {
    callInPlace(POW_, this.handle, exponent);
    return this;
  }
  /** −self */
  neg_(): this {
    callInPlace(NEG_, this.handle);
    return this;
  }
  /** e to the power of self. */
  exp_(): this {
    callInPlace(EXP_, this.handle);
    return this;
  }
  /** Square root. */
  sqrt_(): this {
    callInPlace(SQRT_, this.handle);
    return this;
  }
  /** max(x, 0) */
  relu_(): this {
    callInPlace(RELU_, this.handle);
    return this;
  }
  /** 1 / (1 + exp(−x)) */
  sigmoid_(): this {
    callInPlace(SIGMOID_, this.handle);
    return this;
  }
}
