import { ArgumentError } from '../native/errors.ts';

/** @internal What a value is, where it is of the wrong kind. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return typeof value === 'object'
    ? 'an object of another kind'
    : `${typeof value}${typeof value === 'number' ? ` ${value}` : ''}`;
}

/** @internal Refuses what is no function, in place of a TypeError that does not name the argument. */
export function checkBody(body: unknown): void {
  if (typeof body !== 'function') throw new ArgumentError('body', 'a function', kindOf(body));
}

/** @internal Refuses options that are no object, and keys that nobody reads: a misspelt one would be ignored in silence. */
export function checkOptions(options: object, third?: string): void {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', kindOf(options));
  for (const key in options) {
    if (key !== 'dtype' && key !== 'device' && key !== third) {
      throw new ArgumentError('options', `dtype${third === undefined ? '' : `, ${third}`} or device`, `the unknown key "${key}"`);
    }
  }
}
