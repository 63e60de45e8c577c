import { typedError } from '../native/errors.ts';
import { addon } from '../native/load.ts';

/** @internal Looks an operator up, once, when the module that uses it loads. */
export function operator(name: string): number {
  try {
    return addon.lookup(name);
  } catch (error) {
    throw typedError(error);
  }
}

/** @internal Calls an operator that returns one tensor; gives its handle. */
export function call(op: number, ...values: readonly unknown[]): number {
  try {
    return addon.call(op, ...values) as number;
  } catch (error) {
    throw typedError(error);
  }
}

/** @internal The same, with the operator's first list of integers as the rest of the values: faster than an array of them. */
export function callSpread(op: number, ...values: readonly unknown[]): number {
  try {
    return addon.callSpread(op, ...values) as number;
  } catch (error) {
    throw typedError(error);
  }
}

/** @internal Calls an operator that returns several values, a list, or something that is no tensor. */
export function callMany<T = number[]>(op: number, ...values: readonly unknown[]): T {
  try {
    return addon.call(op, ...values) as T;
  } catch (error) {
    throw typedError(error);
  }
}

/** @internal Calls an in-place or out variant, whose return value is what it was given. */
export function callInPlace(op: number, ...values: readonly unknown[]): void {
  try {
    addon.callInPlace(op, ...values);
  } catch (error) {
    throw typedError(error);
  }
}

/** @internal Runs a function of the addon and types its errors. */
export function native<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw typedError(error);
  }
}
