import { ArgumentError } from '../native/errors.ts';
import { shown } from '../native/fields.ts';

/** Number formats, under PyTorch's names. Values are c10::ScalarType's numbers. */
const CODES = {
  float32: 6,
  float64: 7,
  float16: 5,
  bfloat16: 15,
  int64: 4,
  int32: 3,
  int16: 2,
  int8: 1,
  uint8: 0,
  bool: 11,
  uint16: 27,
  uint32: 28,
  uint64: 29,
  complex64: 9,
  complex128: 10,
  float8_e5m2: 23,
  float8_e4m3fn: 24,
  float8_e5m2fnuz: 25,
  float8_e4m3fnuz: 26,
  float8_e8m0fnu: 44,
  float4_e2m1fn_x2: 45,
} as const;

/** A number format, such as `'float32'`. */
export type Dtype = keyof typeof CODES;

const NAMES = new Map<number, Dtype>(Object.entries(CODES).map(([name, code]) => [code, name as Dtype]));

const SIZES: Readonly<Record<Dtype, number>> = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
  uint16: 2,
  uint32: 4,
  uint64: 8,
  complex64: 8,
  complex128: 16,
  float8_e5m2: 1,
  float8_e4m3fn: 1,
  float8_e5m2fnuz: 1,
  float8_e4m3fnuz: 1,
  float8_e8m0fnu: 1,
  float4_e2m1fn_x2: 1,
};

/** What is a device's name, where a dtype's is wanted. */
const DEVICE = /^(?:cpu|meta|mps|xpu|cuda(?::\d+)?)$/;

/** @internal libtorch's number of a dtype. */
export function dtypeCode(dtype: Dtype): number {
  const code = CODES[dtype];
  // No look-up by own keys: this is a hot path, and what Object.prototype has is no number.
  if (typeof code === 'number') return code;
  const hint = DEVICE.test(String(dtype)) ? ` (a device is given as { device: '${dtype}' })` : '';
  throw new ArgumentError('dtype', `one of ${Object.keys(CODES).join(', ')}${hint}`, shown(dtype));
}

/** @internal Whether libtorch has a dtype of this name that is known here. */
export function isDtype(name: string): name is Dtype {
  return Object.hasOwn(CODES, name);
}

/** @internal */
export function dtypeName(code: number): Dtype {
  const name = NAMES.get(code);
  if (name === undefined) throw new ArgumentError('dtype', 'a dtype that has a name here', `c10::ScalarType ${code}`);
  return name;
}

/** Bytes an element. */
export function itemSize(dtype: Dtype): number {
  dtypeCode(dtype);
  return SIZES[dtype];
}

/** Whether a dtype holds fractions. */
export function isFloatingPoint(dtype: Dtype): boolean {
  dtypeCode(dtype);
  return dtype.includes('float');
}
