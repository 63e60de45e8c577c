import { ArgumentError } from './errors.ts';
import { shown } from './fields.ts';

/** What an argument must be. */
export interface Kind {
  /** In words, such as `a string`. */
  readonly expected: string;
  /** What is wrong with a value; undefined where nothing is. */
  wrong(value: unknown): string | undefined;
}

function kind(expected: string, fits: (value: unknown) => boolean): Kind {
  return { expected, wrong: (value) => (fits(value) ? undefined : shown(value)) };
}

/** A string. */
export const aString: Kind = kind('a string', (value) => typeof value === 'string');
/** A path of a file or folder; an empty one would be the working directory, which nobody means by it. */
export const aPath: Kind = kind('a path', (value) => typeof value === 'string' && value !== '');
/** A function. */
export const aFunction: Kind = kind('a function', (value) => typeof value === 'function');
/** An array. */
export const anArray: Kind = kind('an array', Array.isArray);
/** An object that is no array. */
export const anObject: Kind = kind('an object', isObject);
/** A number that is an integer and above 0. */
export const aCount: Kind = kind('a positive integer', (value) => Number.isSafeInteger(value) && (value as number) > 0);

/** A number that is an integer and not below 0. */
export const aSize: Kind = kind('an integer from 0', (value) => Number.isSafeInteger(value) && (value as number) >= 0);
/** A number, NaN and infinities among them. */
export const aNumber: Kind = kind('a number', (value) => typeof value === 'number');
/** An object of any class, arrays among them. */
export const anObjectOrArray: Kind = kind('an object or array', (value) => typeof value === 'object' && value !== null);

/** What a picture is called: a string or a number. */
export const anId: Kind = kind('a string or number', (value) => typeof value === 'string' || typeof value === 'number');

/** An object whose values are all of a kind, by any names. */
export function recordOf(element: Kind): Kind {
  const wrong = (value: unknown): string | undefined => {
    if (!isObject(value)) return shown(value);
    const odd = Object.entries(value).find(([, one]) => one !== undefined && element.wrong(one) !== undefined);
    return odd === undefined ? undefined : `${element.wrong(odd[1])} for ${odd[0]}`;
  };
  return { expected: `an object of names, each ${element.expected}`, wrong };
}

/** An array whose elements are all of a kind. */
export function arrayOf(element: Kind): Kind {
  const wrong = (value: unknown): string | undefined => {
    if (!Array.isArray(value)) return shown(value);
    const odd = value.map((one) => element.wrong(one)).find((problem) => problem !== undefined);
    return odd === undefined ? undefined : `${odd} among ${shown(value)}`;
  };
  return { expected: `an array, each ${element.expected}`, wrong };
}

/** An object with members of these names: a configuration by its fields, a model of any class by its methods. */
export function having(...names: readonly string[]): Kind {
  const wrong = (value: unknown): string | undefined => {
    if (!isObject(value)) return shown(value);
    const absent = names.filter((name) => value[name] === undefined);
    return absent.length === 0 ? undefined : `an object without ${absent.join(', ')}`;
  };
  return { expected: `an object with ${names.join(', ')}`, wrong };
}

/** What an AbortController has, of this realm or another. */
export const anAbortSignal: Kind = kind(
  'an AbortSignal',
  (value) => isObject(value) && typeof value.aborted === 'boolean' && typeof value.throwIfAborted === 'function',
);

/** A kind, or undefined. */
export function optional({ expected, wrong }: Kind): Kind {
  return { expected: `${expected}, or nothing`, wrong: (value) => (value === undefined ? undefined : wrong(value)) };
}

/**
 * Refuses an argument of the wrong kind by its name, where a public function begins: further on it would be a TypeError of a line that
 * the caller has never seen.
 * @throws ArgumentError
 */
export function checkArgument(argument: string, value: unknown, { expected, wrong }: Kind): void {
  const received = wrong(value);
  if (received !== undefined) throw new ArgumentError(argument, expected, received);
}

/**
 * Refuses names that nobody reads: a misspelt one would be passed over in silence.
 * @throws ArgumentError that lists the names that there are
 */
export function checkKeys(argument: string, value: object, names: readonly string[]): void {
  const odd = Object.keys(value).find((name) => !names.includes(name));
  if (odd !== undefined) throw new ArgumentError(argument, `fields out of ${names.join(', ')}`, odd);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The fields that have a value: one that is undefined counts as not told, and so leaves a default as it is. */
export function defined<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const told = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(told) as { [K in keyof T]: Exclude<T[K], undefined> };
}
