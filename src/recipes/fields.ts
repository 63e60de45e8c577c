import { anObject, checkArgument, checkKeys } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { shown } from '../native/fields.ts';
import { checkpointName } from '../nn/module.ts';

/** What a field must be: a test, and its words. */
export interface Rule {
  readonly fits: (value: unknown) => boolean;
  readonly expected: string;
}

/** Rules of a recipe's fields; those of a nested object are nested. */
export interface Rules {
  readonly [name: string]: Rule | Rules;
}

/** An object with any of its fields left out, at every depth. */
export type DeepPartial<T> = T extends readonly unknown[] ? T : T extends object ? { [K in keyof T]?: DeepPartial<T[K]> } : T;

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);

export const count: Rule = {
  fits: (value) => Number.isSafeInteger(value) && (value as number) > 0,
  expected: 'a positive integer',
};
export const whole: Rule = {
  fits: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  expected: 'a whole number from 0',
};
export const positive: Rule = { fits: (value) => isNumber(value) && value > 0, expected: 'a number above 0' };
export const scale: Rule = { fits: (value) => isNumber(value) && value >= 0, expected: 'a number from 0' };
export const probability: Rule = {
  fits: (value) => isNumber(value) && value >= 0 && value < 1,
  expected: 'a number from 0 to below 1',
};
export const flag: Rule = { fits: (value) => typeof value === 'boolean', expected: 'true or false' };

export function choice(...choices: readonly string[]): Rule {
  return { fits: (value) => choices.includes(value as string), expected: `one of ${choices.join(', ')}` };
}

export function listOf(length: number, rule: Rule): Rule {
  return {
    fits: (value) => Array.isArray(value) && value.length === length && value.every(rule.fits),
    expected: `a list of ${length}, each ${rule.expected}`,
  };
}

export function orNull(rule: Rule): Rule {
  return { fits: (value) => value === null || rule.fits(value), expected: `${rule.expected}, or null` };
}

function isRule(rule: Rule | Rules): rule is Rule {
  return typeof rule.fits === 'function';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Defaults with what was given in their place, field by field at every depth.
 * @param others names of fields that are looked at elsewhere, for the list of what there is
 * @throws ArgumentError naming the field that there is not, or that is not as expected
 */
export function overridden<T extends object>(
  defaults: T,
  given: unknown,
  rules: Rules,
  path: string,
  others: readonly string[] = [],
): T {
  if (given === undefined) return defaults;
  if (!isObject(given)) throw new ArgumentError(path, 'an object', shown(given));
  checkKeys(path, given, [...Object.keys(rules), ...others]);
  const result: Record<string, unknown> = Object.fromEntries(Object.entries(defaults));
  for (const [name, value] of Object.entries(given)) {
    const rule = rules[name];
    const field = `${path}.${name}`;
    if (value === undefined || rule === undefined) continue;
    if (isRule(rule)) {
      if (!rule.fits(value)) throw new ArgumentError(field, rule.expected, shown(value));
      result[name] = value;
    } else result[name] = overridden((result[name] ?? {}) as object, value, rule, field);
  }
  return result as T;
}

/** `hiddenSize` → `hidden_size`, at every depth: the names under which configurations are read. */
export function toJsonNames(value: unknown): unknown {
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [checkpointName(name), toJsonNames(inner)]));
}

/**
 * A configuration from some of its fields, under their names in camelCase. `parse` fills in and checks.
 * @throws ArgumentError naming the field as the recipe has it
 */
export function configured<T extends object>(given: object, parse: (json: unknown) => T, path: string): T {
  try {
    const config = parse(toJsonNames(given));
    expectKnown(given, config, path);
    return config;
  } catch (error) {
    if (!(error instanceof ArgumentError) || error.argument.startsWith(path)) throw error;
    const camel = error.argument.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    throw new ArgumentError(`${path}.${camel}`, error.expected, error.received, { cause: error });
  }
}

function expectKnown(given: object, config: object, path: string): void {
  checkKeys(path, given, Object.keys(config));
  for (const [name, value] of Object.entries(given)) {
    if (isObject(value)) expectKnown(value, (config as Record<string, object>)[name] as object, `${path}.${name}`);
  }
}

/** A field of plain data at any depth. */
export interface FieldValue {
  /** The names on the way to it, joined by dots. */
  readonly name: string;
  /** What stands there: a number, text, a list, null, or an object whose fields follow. */
  readonly value: unknown;
}

/** Every field of plain data, objects before what is in them. Lists are values. */
export function fieldsOf(data: object, path = ''): FieldValue[] {
  checkArgument('data', data, anObject);
  return Object.entries(data).flatMap(([key, value]) => {
    const name = path === '' ? key : `${path}.${key}`;
    return [{ name, value }, ...(isObject(value) ? fieldsOf(value, name) : [])];
  });
}
