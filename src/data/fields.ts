import { FileError } from '../native/errors.ts';
import type { Json } from '../native/files.ts';

/** Reads the fields of a JSON object from a file, each checked; one that is absent or null takes its default. */
export class FileFields {
  readonly file: string;
  readonly #json: { readonly [key: string]: Json };
  readonly #path: string;

  /** @param path the object's own name in the file, for errors */
  constructor(file: string, json: Json, path = '') {
    this.file = file;
    this.#path = path;
    if (typeof json !== 'object' || json === null || Array.isArray(json)) {
      throw new FileError(file, `${path || 'the file'}: expected an object but received ${shown(json)}`);
    }
    this.#json = json as { readonly [key: string]: Json };
  }

  /** The whole object. */
  toJSON(): { readonly [key: string]: Json } {
    return this.#json;
  }

  /** The value as it came; undefined where it is absent or null. */
  raw(name: string): Exclude<Json, null> | undefined {
    return (Object.hasOwn(this.#json, name) ? this.#json[name] : undefined) ?? undefined;
  }

  /** The error that says what the field should have been. */
  refusal(name: string, expected: string): FileError {
    const field = this.#path === '' ? name : `${this.#path}.${name}`;
    return new FileError(this.file, `${field}: expected ${expected} but received ${shown(this.raw(name) ?? null)}`);
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

  /** A whole number from `least`. */
  whole(name: string, least: number): number | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (!Number.isSafeInteger(value) || (value as number) < least) throw this.refusal(name, `a whole number from ${least}`);
    return value as number;
  }

  /** A finite number above 0. */
  positive(name: string, otherwise: number): number {
    const value = this.raw(name) ?? otherwise;
    if (typeof value !== 'number' || !(value > 0) || !Number.isFinite(value)) throw this.refusal(name, 'a number above 0');
    return value;
  }

  /** Three finite numbers, one a colour. */
  colour(name: string, otherwise: Colour): Colour {
    const value = this.raw(name) ?? otherwise;
    const fits = Array.isArray(value) && value.length === 3 && value.every((part) => Number.isFinite(part));
    if (!fits) throw this.refusal(name, 'three numbers');
    return value as unknown as Colour;
  }

  /** A nested object; undefined where it is absent. */
  child(name: string): FileFields | undefined {
    const value = this.raw(name);
    return value === undefined ? undefined : new FileFields(this.file, value, this.#path === '' ? name : `${this.#path}.${name}`);
  }
}

/** A number for red, green and blue each. */
export type Colour = readonly [red: number, green: number, blue: number];

function shown(value: Json): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? `an array of ${value.length}` : 'an object';
  return JSON.stringify(value).slice(0, 80);
}
