import { addon } from '../native/load.ts';
import { TensorBase, wrap } from './base.ts';
import { call, callInPlace, native, operator } from './dispatch.ts';
import { Generator } from './random.ts';
import type { Tensor } from './tensor.ts';

/** What an operator takes or returns, besides tensors. */
export type OperatorValue = Tensor | Generator | number | bigint | boolean | string | null | undefined | readonly OperatorValue[];

interface Known {
  readonly id: number;
  readonly returns: readonly string[];
  readonly writes: readonly number[];
}

const known = new Map<string, Known>();

function describe(name: string): Known {
  let entry = known.get(name);
  if (entry === undefined) {
    const id = operator(name);
    entry = { id, ...native(() => addon.schema(id)) };
    known.set(name, entry);
  }
  return entry;
}

function lower(value: OperatorValue): unknown {
  if (value instanceof TensorBase || value instanceof Generator) return value.handle;
  return Array.isArray(value) ? value.map(lower) : value;
}

function raise(value: unknown, type: string): OperatorValue {
  if (value === null) return null;
  if (type.startsWith('Tensor') || type.startsWith('Optional[Tensor')) return wrap(value as number);
  if (/^List\[(Optional\[)?Tensor/.test(type)) {
    return (value as (number | null)[]).map((handle) => (handle === null ? null : wrap(handle)));
  }
  return value as OperatorValue;
}

/**
 * Calls any ATen operator by name and overload, arguments in the order of its schema: `callOperator('add.Tensor', a, b)`.
 * dtypes, devices, layouts and memory formats are strings. In-place and out variants return the argument that they wrote.
 *
 * **Unsafe**: arguments are checked against the operator's schema, but a few of PyTorch's own operators (raw backward formulas above all)
 * crash the process when the values make no sense. Prefer the typed methods and functions wherever there is one.
 */
export function callOperator(name: string, ...values: readonly OperatorValue[]): OperatorValue {
  const { id, returns, writes } = describe(name);
  const lowered = values.map(lower);
  if (writes.length > 0) {
    callInPlace(id, ...lowered);
    const written = writes.map((index) => values[index]);
    for (const value of written) if (value instanceof TensorBase) value.refresh();
    return written.length === 1 ? written[0] : written;
  }
  if (returns.length === 0) {
    callInPlace(id, ...lowered);
    return undefined;
  }
  const result: unknown = call(id, ...lowered);
  if (returns.length === 1) return raise(result, returns[0] as string);
  return (result as unknown[]).map((value, i) => raise(value, returns[i] as string));
}

/** An operator's schema, as PyTorch writes it. */
export function operatorSchema(name: string): string {
  const { id } = describe(name);
  return native(() => addon.schema(id)).schema;
}
