import { FileError } from '../native/errors.ts';
import { JsonFields } from '../native/fields.ts';
import type { Json } from '../native/files.ts';

/** The fields of a JSON object from a file; errors name the file and the field. */
export class FileFields extends JsonFields {
  readonly file: string;

  /** @param path the object's own name in the file, for errors */
  constructor(file: string, json: unknown, path = '') {
    super(
      json,
      path,
      (field, expected, received) => new FileError(file, `${field}: expected ${expected} but received ${received}`),
      'the file',
    );
    this.file = file;
  }

  /** The whole object. */
  toJSON(): { readonly [key: string]: Json } {
    return this.json;
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
    return value === undefined ? undefined : new FileFields(this.file, value, this.name(name));
  }

  /** The objects of a list; undefined where it is absent. */
  children(name: string): FileFields[] | undefined {
    return this.list(name)?.map((value, i) => new FileFields(this.file, value, `${this.name(name)}[${i}]`));
  }
}

/** A number for red, green and blue each. */
export type Colour = readonly [red: number, green: number, blue: number];
