import type { Dtype } from '../dtype.ts';

/** The format's dtypes, in the order by which files are laid out (widest last), with the bits an element takes. */
const BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** A dtype under the name that the format gives it. */
export type StoredDtype = keyof typeof BITS;

const ORDER = new Map(Object.keys(BITS).map((name, rank) => [name as StoredDtype, rank]));

const NAMES: Partial<Record<Dtype, StoredDtype>> = {
  bool: 'BOOL',
  float4_e2m1fn_x2: 'F4',
  uint8: 'U8',
  int8: 'I8',
  float8_e5m2: 'F8_E5M2',
  float8_e4m3fn: 'F8_E4M3',
  float8_e8m0fnu: 'F8_E8M0',
  float8_e4m3fnuz: 'F8_E4M3FNUZ',
  float8_e5m2fnuz: 'F8_E5M2FNUZ',
  int16: 'I16',
  uint16: 'U16',
  float16: 'F16',
  bfloat16: 'BF16',
  int32: 'I32',
  uint32: 'U32',
  float32: 'F32',
  complex64: 'C64',
  float64: 'F64',
  int64: 'I64',
  uint64: 'U64',
};

const DTYPES = new Map(Object.entries(NAMES).map(([dtype, name]) => [name, dtype as Dtype]));

export function isStoredDtype(name: string): name is StoredDtype {
  return Object.hasOwn(BITS, name);
}

export function bitsOf(stored: StoredDtype): number {
  return BITS[stored];
}

/** Where a dtype stands in the layout of a file; greater ones come first. */
export function rankOf(stored: StoredDtype): number {
  return ORDER.get(stored) as number;
}

/** The numbers that one element of a tensor holds: of F4 libtorch packs the neighbours in the last dimension two and two. */
export function packingOf(stored: StoredDtype): number {
  return stored === 'F4' ? 2 : 1;
}

/** The tensor dtype of a stored one; undefined for those that libtorch has none for (F6). */
export function dtypeOf(stored: StoredDtype): Dtype | undefined {
  return DTYPES.get(stored);
}

/** The stored dtype of a tensor's; undefined for those that the format has none for (complex128). */
export function storedDtypeOf(dtype: Dtype): StoredDtype | undefined {
  return NAMES[dtype];
}
