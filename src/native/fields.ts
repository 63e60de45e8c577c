import type { Json } from './files.ts';

/** Makes the error of a field that is not as expected, from its full name, what was expected and what came. */
export type FieldError = (field: string, expected: string, received: string) => Error;

/** Reads the fields of a JSON object that may hold anything, each checked. One that is absent or null counts as not there. */
export class JsonFields {
  protected readonly json: { readonly [key: string]: Json };
  protected readonly path: string;
  readonly #error: FieldError;

  /**
   * @param path the object's own name, for errors
   * @param whole what to call the object where it has no name
   */
  constructor(json: unknown, path: string, error: FieldError, whole = 'the whole') {
    this.path = path;
    this.#error = error;
    if (typeof json !== 'object' || json === null || Array.isArray(json)) throw error(path || whole, 'an object', shown(json));
    this.json = json as { readonly [key: string]: Json };
  }

  /** The value as it came; undefined where it is absent or null. */
  raw(name: string): Exclude<Json, null> | undefined {
    return (Object.hasOwn(this.json, name) ? this.json[name] : undefined) ?? undefined;
  }

  /** The field's full name. */
  name(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`;
  }

  /** The error that says what the field should have been. */
  refusal(name: string, expected: string, received = shown(this.raw(name) ?? null)): Error {
    return this.#error(this.name(name), expected, received);
  }

  flag(name: string, otherwise: boolean): boolean {
    const value = this.raw(name) ?? otherwise;
    if (typeof value !== 'boolean') throw this.refusal(name, 'true or false');
    return value;
  }

  text(name: string): string | undefined {
    const value = this.raw(name);
    if (value !== undefined && typeof value !== 'string') throw this.refusal(name, 'a string');
    return value;
  }

  /** A whole number from `least` to `most`. */
  whole(name: string, least: number, most = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most) {
      throw this.refusal(name, `a whole number from ${least}${most === Number.MAX_SAFE_INTEGER ? '' : ` to ${most}`}`);
    }
    return value as number;
  }

  /** A finite number above 0. */
  positive(name: string, otherwise: number): number {
    const value = this.raw(name) ?? otherwise;
    if (typeof value !== 'number' || !(value > 0) || !Number.isFinite(value)) throw this.refusal(name, 'a number above 0');
    return value;
  }

  list(name: string): readonly Json[] | undefined {
    const value = this.raw(name);
    if (value !== undefined && !Array.isArray(value)) throw this.refusal(name, 'a list');
    return value as readonly Json[] | undefined;
  }
}

/** A value as errors show it. */
export function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? `an array of ${value.length}` : 'an object';
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'number') return String(value); // JSON has no NaN
  return JSON.stringify(value)?.slice(0, 80) ?? String(value);
}
