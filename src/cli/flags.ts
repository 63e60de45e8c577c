import { type Command, Help, Option } from 'commander';
import { ArgumentError } from '../native/errors.ts';

/** Something that can be set, by its name in settings: names on the way to it, joined by dots. */
export interface Field {
  readonly name: string;
  readonly value: unknown;
}

/** `schedule.warmupSteps` → `--schedule.warmup-steps`. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/**
 * Gives a command a flag for each field, named after it. `words` describes those that its help lists; the others can be set all the same.
 */
export function addFields(
  command: Command,
  fields: readonly Field[],
  group: string,
  words: Readonly<Record<string, string>>,
): void {
  const taken = new Set(command.options.map((option) => option.attributeName()));
  const rank = ({ name }: Field): number => (words[name] === undefined ? Infinity : Object.keys(words).indexOf(name));
  for (const { name, value } of [...fields].sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)))) {
    added.add(name);
    if (taken.has(name)) continue;
    const text = words[name];
    const option = new Option(`${flagOf(name)} <value>`, text === undefined ? '' : `${text}${shownDefault(value)}`);
    command.addOption(option.helpGroup(text === undefined ? OTHERS : group).argParser((typed) => new Parsed(parseValue(typed))));
  }
  command.configureHelp({ formatHelp: (own, helper) => withoutOthers(own, helper) });
}

/** The names of all fields that have got flags, for errors. */
const added = new Set<string>();

/** The group of flags that help does not list. */
const OTHERS = 'Others:';

// They must be visible all the same, as commander looks for the flag that somebody meant among these.
function withoutOthers(command: Command, { helpWidth }: Help): string {
  const help = new Help();
  if (helpWidth !== undefined) help.helpWidth = helpWidth;
  help.visibleOptions = (own) =>
    Help.prototype.visibleOptions.call(help, own).filter(({ helpGroupHeading }) => helpGroupHeading !== OTHERS);
  return help.formatHelp(command, help);
}

function shownDefault(value: unknown): string {
  if (value === null || (typeof value === 'object' && !Array.isArray(value))) return '';
  return ` (${[value].flat().map(shownNumber).join(',')})`;
}

function shownNumber(value: unknown): string {
  return typeof value === 'number' && value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : String(value);
}

/** A value by itself: commander would take a null for no value at all. */
class Parsed {
  readonly value: unknown;

  constructor(value: unknown) {
    this.value = value;
  }
}

/** What somebody typed, as the value that it stands for: JSON, a list of numbers, or else text. The field's own rule judges it. */
export function parseValue(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    const numbers = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
    return numbers.length > 1 && numbers.every((number) => !Number.isNaN(number)) ? numbers : text;
  }
}

/** The flags that were given as one object, nested as their names say. An object that was given whole comes before its parts. */
export function settingsOf(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  const names = Object.keys(options).sort((a, b) => a.split('.').length - b.split('.').length);
  for (const name of names) {
    const parts = name.split('.');
    const last = parts.pop() as string;
    const given = options[name];
    const value = given instanceof Parsed ? given.value : given;
    let at = settings;
    for (const [i, part] of parts.entries()) {
      const next = at[part] ?? {};
      if (typeof next !== 'object') {
        const whole = parts.slice(0, i + 1).join('.');
        throw new ArgumentError(`run.${name}`, `nothing beside ${flagOf(whole)} ${String(next)}`, String(value));
      }
      at[part] = { ...next };
      at = at[part] as Record<string, unknown>;
    }
    at[last] = value;
  }
  return settings;
}

/** The message of an error about a setting, in terms of the flag that sets it; undefined for any other error. */
export function flagMessage(error: unknown): string | undefined {
  if (!(error instanceof ArgumentError)) return undefined;
  const { argument, expected, received } = error;
  const [, setting, within] = /^(run|recipe)(?:\.(.*))?$/.exec(argument) ?? [];
  const name = within ?? (added.has(argument) ? argument : undefined);
  if (setting === undefined && name === undefined) return undefined;
  return `expected ${expected}${name === undefined ? '' : ` for ${flagOf(name)}`} but received ${received}`;
}
