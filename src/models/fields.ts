import { ArgumentError } from '../native/errors.ts';
import { JsonFields, shown } from '../native/fields.ts';
import { type ActivationName, activationNames } from '../nn/index.ts';

/** A JSON object. */
export type JsonObject = { readonly [name: string]: unknown };

/**
 * Reads the fields of a configuration from JSON. A field that is absent or null takes its default, one that is not as expected is an
 * {@link ArgumentError} with its full name, and those nobody asks for are ignored.
 */
export class Fields extends JsonFields {
  /** @param path the object's own name, for errors */
  constructor(json: unknown, path: string) {
    super(json, path, (field, expected, received) => new ArgumentError(field, expected, received), 'the configuration');
  }

  /** Throws that the field is not what was expected. */
  refuse(name: string, expected: string, received?: string): never {
    throw this.refusal(name, expected, received);
  }

  /** An integer ≥ 1. */
  size(name: string, otherwise: number): number {
    const value = this.raw(name) ?? otherwise;
    if (!Number.isSafeInteger(value) || (value as number) < 1) this.refuse(name, 'a positive integer');
    return value as number;
  }

  /** A number of blocks: each is built before weights are looked at, so a wild number would take hours. */
  layers(name: string, otherwise: number): number {
    const value = this.size(name, otherwise);
    if (value > 1000) this.refuse(name, 'an integer from 1 to 1000');
    return value;
  }

  /** An integer ≥ 0: a token's id. */
  id(name: string, otherwise: number): number;
  id(name: string, otherwise: null): number | null;
  id(name: string, otherwise: number | null): number | null;
  id(name: string, otherwise: number | null): number | null {
    const value = this.raw(name) ?? otherwise;
    if (value === null) return null;
    if (!Number.isSafeInteger(value) || (value as number) < 0) this.refuse(name, 'a token id (an integer from 0)');
    return value as number;
  }

  /** One id or a list of them. */
  ids(name: string, otherwise: number): number | readonly number[] {
    const value = this.raw(name);
    if (!Array.isArray(value)) return this.id(name, otherwise);
    const bad = value.find((id) => !Number.isSafeInteger(id) || id < 0);
    if (value.length === 0 || bad !== undefined) {
      this.refuse(name, 'token ids (integers from 0)', value.length === 0 ? 'an empty list' : shown(bad));
    }
    return value as readonly number[];
  }

  /** A number in [0, 1). */
  probability(name: string, otherwise: number): number {
    const value = this.raw(name) ?? otherwise;
    if (typeof value !== 'number' || !(value >= 0 && value < 1)) this.refuse(name, 'a probability from 0 to below 1');
    return value;
  }

  /** A finite number ≥ 0. */
  scale(name: string, otherwise: number): number {
    const value = this.raw(name) ?? otherwise;
    if (typeof value !== 'number' || !(value >= 0) || !Number.isFinite(value)) this.refuse(name, 'a number from 0');
    return value;
  }

  /** One of the given strings. */
  choice<T extends string>(name: string, choices: readonly T[], otherwise: T): T {
    const value = this.raw(name) ?? otherwise;
    if (!choices.includes(value as T)) this.refuse(name, `one of ${choices.join(', ')}`);
    return value as T;
  }

  activation(name: string, otherwise: ActivationName): ActivationName {
    return this.choice(name, activationNames, otherwise);
  }

  /** A nested object; an empty one where it is absent. */
  child(name: string): Fields {
    return new Fields(this.raw(name) ?? {}, this.name(name));
  }
}

/** Checks that attention heads divide the width evenly. */
export function checkHeads(fields: Fields, widthName: string, width: number, headsName: string, heads: number): void {
  if (width % heads !== 0) {
    fields.refuse(widthName, `a multiple of ${fields.name(headsName)} (${heads})`, String(width));
  }
}
