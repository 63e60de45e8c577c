import { ArgumentError } from '../../../native/errors.ts';
import { shown } from '../../../native/fields.ts';
import type { TextConfig } from './kinds.ts';

/**
 * Fields that may differ: they change no number of a given text, or the weights decide on them. Tables of words and positions may have more rows
 * than were asked for.
 */
const FREE = /^(?:vocabSize|maxPositionEmbeddings|(?:pad|bos|eos)TokenId|tieWordEmbeddings|initStd|initializerFactor)$/;
/** Fields that count in training mode alone. */
const DROPOUT = /dropout/i;

/**
 * Checks that language models of two configurations give the same numbers for the same weights.
 * @param place what stands before a field's name in errors
 * @throws ArgumentError naming the field in which they differ
 */
export function checkAgreement(config: TextConfig, wanted: TextConfig, { place = '', dropout = false } = {}): void {
  const found = config as unknown as Readonly<Record<string, unknown>>;
  for (const [field, value] of Object.entries(wanted)) {
    if (FREE.test(field) || (!dropout && DROPOUT.test(field)) || found[field] === value) continue;
    throw new ArgumentError(`${place}${field}`, `${shown(value)}, as the wanted shape has it,`, shown(found[field]));
  }
}
