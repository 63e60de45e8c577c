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

// V8 calls the addon directly where the number of arguments is written out, and takes a detour three times as long for a spread. Each
// of the functions below therefore says what it passes on, for as many arguments as operators usually have.

/** @internal Calls an operator that returns one tensor; gives its handle. */
export function call(op: number, ...v: readonly unknown[]): number {
  try {
    switch (v.length) {
      case 1:
        return addon.call(op, v[0]) as number;
      case 2:
        return addon.call(op, v[0], v[1]) as number;
      case 3:
        return addon.call(op, v[0], v[1], v[2]) as number;
      case 4:
        return addon.call(op, v[0], v[1], v[2], v[3]) as number;
      case 5:
        return addon.call(op, v[0], v[1], v[2], v[3], v[4]) as number;
      case 6:
        return addon.call(op, v[0], v[1], v[2], v[3], v[4], v[5]) as number;
      default:
        return addon.call(op, ...v) as number;
    }
  } catch (error) {
    throw typedError(error);
  }
}

/** @internal The same, with the operator's first list of integers as the rest of the values: faster than an array of them. */
export function callSpread(op: number, ...v: readonly unknown[]): number {
  try {
    switch (v.length) {
      case 2:
        return addon.callSpread(op, v[0], v[1]) as number;
      case 3:
        return addon.callSpread(op, v[0], v[1], v[2]) as number;
      case 4:
        return addon.callSpread(op, v[0], v[1], v[2], v[3]) as number;
      case 5:
        return addon.callSpread(op, v[0], v[1], v[2], v[3], v[4]) as number;
      default:
        return addon.callSpread(op, ...v) as number;
    }
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
export function callInPlace(op: number, ...v: readonly unknown[]): void {
  try {
    if (v.length === 1) addon.callInPlace(op, v[0]);
    else if (v.length === 2) addon.callInPlace(op, v[0], v[1]);
    else if (v.length === 3) addon.callInPlace(op, v[0], v[1], v[2]);
    else addon.callInPlace(op, ...v);
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
