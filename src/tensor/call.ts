import { ArgumentError } from '../native/errors.ts';
import { addon } from '../native/load.ts';
import { describe, TensorBase, wrap } from './base.ts';
import { call, callInPlace, native, operator } from './dispatch.ts';
import { dtypeName } from './dtype.ts';
import { Generator } from './random.ts';
import type { Tensor } from './tensor.ts';

/** What an operator takes or returns, besides tensors. */
export type OperatorValue = Tensor | Generator | number | bigint | boolean | string | null | undefined | readonly OperatorValue[];

interface Known {
  readonly id: number;
  readonly returns: readonly string[];
  /** What the arguments are called. */
  readonly names: readonly string[];
  /** Arguments that the operator writes. */
  readonly writes: readonly number[];
  /** Arguments that are tensors, generators or lists of tensors. */
  readonly handles: readonly number[];
}

const found = new Map<string, Known>();

function find(name: string): Known {
  let entry = found.get(name);
  if (entry === undefined) {
    const id = operator(name);
    entry = { id, ...native(() => addon.schema(id)) };
    found.set(name, entry);
  }
  return entry;
}

/** The values as the addon takes them. Handles are numbers there, so no number may pass for a tensor, nor a tensor for a number. */
function lower(name: string, { names, handles }: Known, values: readonly OperatorValue[]): unknown[] {
  return values.map((argument, i) => {
    const wanted = handles.includes(i);
    const visit = (value: OperatorValue): unknown => {
      if (value === null || value === undefined) return value;
      if (Array.isArray(value)) return value.map(visit);
      const owner = value instanceof TensorBase || value instanceof Generator ? value : null;
      if ((owner !== null) === wanted) return owner === null ? value : owner.handle;
      const expected = `${wanted ? 'a' : 'no'} tensor or generator, as the schema says`;
      throw new ArgumentError(names[i] ?? 'the call', expected, describe(value), { operator: name });
    };
    return visit(argument);
  });
}

function raise(value: unknown, type: string): OperatorValue {
  if (value === null) return null;
  if (type.startsWith('Tensor') || type.startsWith('Optional[Tensor')) return wrap(value as number);
  if (/^List\[(Optional\[)?Tensor/.test(type)) {
    return (value as (number | null)[]).map((handle) => (handle === null ? null : wrap(handle)));
  }
  return type === 'ScalarType' ? dtypeName(value as number) : (value as OperatorValue);
}

/**
 * Calls any ATen operator by name and overload, arguments in the order of its schema: `callOperator('add.Tensor', a, b)`.
 * dtypes, devices, layouts and memory formats are strings, in results too. In-place and out variants return the argument that they wrote.
 *
 * A few operators are refused, as their arguments or results have no form here: those of storages and streams as such (`set_.source_Storage`,
 * `record_stream`), of quantised cells (`quantized_lstm.data`) and packed weights, of dictionaries and quantisation schemes.
 *
 * **Unsafe**: arguments are checked against the operator's schema, but a few of PyTorch's own operators (raw backward formulas above all)
 * crash the process when the values make no sense. Prefer the typed methods and functions wherever there is one.
 * @throws ArgumentError for a name that is none, or a value that the schema does not take
 * @throws OperatorError for an operator that is refused, or what libtorch says of the values
 */
export function callOperator(name: string, ...values: readonly OperatorValue[]): OperatorValue {
  const known = find(name);
  const { id, returns, writes } = known;
  const lowered = lower(name, known, values);
  if (writes.length > 0) {
    callInPlace(id, ...lowered);
    const written = writes.map((index) => values[index]);
    for (const value of written.flat()) if (value instanceof TensorBase) value.refresh();
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

/** The names of all operators of this libtorch, for {@link callOperator}; those outside ATen bear their namespace. */
export function operatorNames(): string[] {
  return native(() => addon.operatorNames());
}

/** An operator's schema, as PyTorch writes it. */
export function operatorSchema(name: string): string {
  const { id } = find(name);
  return native(() => addon.schema(id)).schema;
}
