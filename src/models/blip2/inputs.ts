// B rows, L length of the ids.
import { checkKeys } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { checkOptionalTensors, checkTensors } from '../../tensor/base.ts';
import { checkObject } from '../../tensor/check.ts';
import type { Dtype, Tensor } from '../../tensor/index.ts';

/** The names of a model's inputs, true for those that are tensors. */
export type InputNames<T> = { readonly [name in keyof Required<T>]: boolean };

/** @throws ArgumentError for inputs that are no object, names that there are not, and what should be a tensor and is none */
export function checkInputs<T extends object>(inputs: T, names: InputNames<T>): void {
  checkObject(inputs, 'inputs');
  checkKeys('inputs', inputs, Object.keys(names));
  checkOptionalTensors(Object.fromEntries(Object.entries(inputs).filter(([name]) => names[name as keyof T])));
}

const INTEGERS: readonly Dtype[] = ['int64', 'int32'];

/**
 * @param pictures B, where each row belongs to a picture
 * @param dtypes what the operators that follow take
 * @throws ArgumentError for what are no ids `[B, L]`, by their name, which an operator would not know
 */
export function checkIds(name: string, ids: Tensor, pictures?: number, dtypes = INTEGERS): void {
  checkTensors({ [name]: ids });
  if (ids.ndim === 2 && dtypes.includes(ids.dtype) && ids.size(0) === (pictures ?? ids.size(0))) return;
  const [rows, why] = pictures === undefined ? ['B', ''] : [pictures, ', a row for each picture'];
  throw new ArgumentError(name, `ids [${rows}, L] of ${dtypes.join(' or ')}${why}`, received(ids));
}

/** @throws ArgumentError for a mask that is not of its ids' shape */
export function checkMask(name: string, mask: Tensor | null | undefined, { shape }: Tensor): void {
  if (mask === undefined || mask === null) return;
  checkTensors({ [name]: mask });
  if (mask.shape.join() !== shape.join()) throw new ArgumentError(name, `a mask [${shape.join(', ')}]`, received(mask));
}

function received({ dtype, shape }: Tensor): string {
  return `${dtype} [${shape.join(', ')}]`;
}
