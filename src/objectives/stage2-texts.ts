// B pictures, Q queries a picture, L longest row, E width of the language model, T targets of all rows.
import type { Language, LanguageInputs } from '../models/index.ts';
import { ArgumentError } from '../native/errors.ts';
import { cat, type Device, fromTypedArray, type Tensor } from '../tensor/index.ts';

/** A text as token ids: what the language model is given of it beside the picture, and what it is to write. */
export interface PromptedText {
  /** Ids that are read and no targets; may be none. */
  readonly prompt: readonly number[];
  /** Ids that are to be written, at least one. */
  readonly target: readonly number[];
}

/** Each target, and the output of the language model that is to predict it. */
export interface Predictions {
  /** `[T, E]`, in the order of the rows. */
  readonly hidden: Tensor;
  /** `[T]` int64 */
  readonly targets: Tensor;
}

/** Runs a language model over soft prompts `[B, Q, E]` and texts. */
export type Predict = (language: Language, visual: Tensor, texts: readonly PromptedText[]) => Predictions;

/** A pass of a language model, but for its embedded input. */
export const PLAIN: Omit<LanguageInputs, 'embedded'> = {
  attentionMask: null,
  labels: null,
  decoderInputIds: null,
  decoderAttentionMask: null,
};

/** Whole numbers that the host knows, `[N]` int64. */
export function int64(values: readonly number[], device: Device): Tensor {
  return fromTypedArray(BigInt64Array.from(values, BigInt), [values.length], { device });
}

/** Rows of ids, `[B, L]` int64, with zeros behind shorter ones; and a mask of the same shape, 1 at tokens, or null where none is shorter. */
export function padded(rows: readonly (readonly number[])[], device: Device): { ids: Tensor; mask: Tensor | null } {
  const longest = rows.reduce((most, row) => Math.max(most, row.length), 0);
  const fill = (value: (row: readonly number[], i: number) => number): Tensor =>
    int64(
      rows.flatMap((row) => Array.from({ length: longest }, (_, i) => value(row, i))),
      device,
    ).view(rows.length, longest);
  return {
    ids: fill((row, i) => row[i] ?? 0),
    mask: rows.every(({ length }) => length === longest) ? null : fill(({ length }, i) => (i < length ? 1 : 0)),
  };
}

/** Soft prompts `[B, Q, E]` and behind them words `[B, L]`, in the language model's number format: `[B, Q + L, E]`. */
export function embeddedAfter(language: Language, visual: Tensor, ids: Tensor): Tensor {
  const words = language.embed(ids);
  if (words.size(2) !== visual.size(2)) {
    throw new ArgumentError('model', `a projection to ${words.size(2)}, the language model's width`, String(visual.size(2)));
  }
  return cat([visual.to(words.dtype), words], 1);
}

/**
 * The outputs `[B, L, E]` at which targets are predicted.
 * @param first where in a row its first target is; the others follow it
 */
export function predictions(hidden: Tensor, texts: readonly PromptedText[], first: (text: PromptedText) => number): Predictions {
  const { device } = hidden;
  const length = hidden.size(1);
  const places = texts.flatMap((text, row) => text.target.map((_, i) => row * length + first(text) + i));
  const targets = texts.flatMap(({ target }) => target);
  return { hidden: hidden.flatten(0, 1).indexSelect(0, int64(places, device)), targets: int64(targets, device) };
}
