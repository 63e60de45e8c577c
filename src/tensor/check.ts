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

/** @internal Refuses what runs later: it would run outside of what surrounds `body` now. */
export function checkDone(result: unknown): void {
  if (typeof result !== 'object' || result === null) return;
  const { then, next } = result as { then?: unknown; next?: unknown };
  if (typeof then === 'function') {
    (result as PromiseLike<unknown>).then(undefined, () => undefined); // what it may still fail with has no one else to be told
    throw new ArgumentError('body', 'a synchronous function', 'one that returns a Promise', { code: 'ERR_ASYNC_SCOPE' });
  }
  if (typeof next === 'function' && /^\[object (Async)?Generator\]$/.test(Object.prototype.toString.call(result))) {
    throw new ArgumentError('body', 'a function that runs at once', 'one that returns a generator', { code: 'ERR_ASYNC_SCOPE' });
  }
}

/** @internal Refuses options that are no object. */
export function checkObject(options: object, argument = 'options'): void {
  if (typeof options !== 'object' || options === null) throw new ArgumentError(argument, 'an object', kindOf(options));
}

/** @internal Refuses options that are no object, and keys that nobody reads: a misspelt one would be ignored in silence. */
export function checkOptions(options: object, third?: string): void {
  checkObject(options);
  for (const key in options) {
    if (key !== 'dtype' && key !== 'device' && key !== third) {
      throw new ArgumentError('options', `dtype${third === undefined ? '' : `, ${third}`} or device`, `the unknown key "${key}"`);
    }
  }
}
