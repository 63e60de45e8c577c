import { ArgumentError } from '../../../native/errors.ts';
import { shown } from '../../../native/fields.ts';
import type { LanguageConfig } from './kind.ts';
import { languageKind, type TextConfig } from './kinds.ts';

/** Fields of every kind that may differ; the table of words may have more rows than were asked for. */
const FREE = ['vocabSize', 'padTokenId', 'bosTokenId', 'eosTokenId'] satisfies (keyof LanguageConfig)[];

/**
 * Checks that language models of two configurations give the same numbers for the same weights.
 * @param place what stands before a field's name in errors
 * @throws ArgumentError naming the field in which they differ
 */
export function checkAgreement(config: TextConfig, wanted: TextConfig, { place = '', dropout = false } = {}): void {
  const found = config as unknown as Readonly<Record<string, unknown>>;
  const { free, dropouts } = languageKind(wanted.modelType);
  const passed = new Set<string>([...FREE, ...free, ...(dropout ? [] : dropouts)]);
  for (const [field, value] of Object.entries(wanted)) {
    if (passed.has(field) || found[field] === value) continue;
    throw new ArgumentError(`${place}${field}`, `${shown(value)}, as the wanted shape has it,`, shown(found[field]));
  }
}
