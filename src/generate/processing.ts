import { ArgumentError } from '../native/errors.ts';
import { type Device, empty, fromTypedArray, keep, type Tensor, tensor } from '../tensor/index.ts';
import type { Settings } from './options.ts';
import { noRepeatNgram, repetitionPenalty, suppress, temperature, topK, topP } from './processors.ts';

/** What the decoders know of a prompt. */
export interface PromptIds {
  readonly batch: number;
  /** P */
  readonly length: number;
  /** Ids `[B, P]`, row by row. */
  readonly ids: BigInt64Array;
  /** The model's. */
  readonly device: Device;
}

type Processor = (scores: Tensor, ids: Tensor | null, length: number) => Tensor;

/** The processors that the settings turn on, in order, and the ids of every continuation where one of them looks at those. */
export class Processing {
  readonly #processors: readonly Processor[];
  /** `[E]`, the tokens of the vocabulary that end a sequence. */
  readonly ends: Tensor | null;
  /** `[B, W, maxLength]`, filled up to the length. */
  readonly #ids: Tensor | null;
  #length: number;

  constructor(settings: Settings, prompt: PromptIds, width: number, vocabulary: number) {
    const { device } = prompt;
    const ends = settings.eosTokenIds.filter((id) => id < vocabulary);
    this.#length = settings.promptLength;
    this.#ids = looksBack(settings) ? continuations(prompt, width, settings.maxLength, vocabulary) : null;
    this.ends = ends.length === 0 ? null : keep(tensor(ends, { dtype: 'int64', device }));
    this.#processors = chain(settings, this.ends);
    if (this.#ids !== null) keep(this.#ids);
  }

  /** Processed scores `[B, W, V]` of the next token. */
  apply(scores: Tensor): Tensor {
    if (this.#processors.length === 0) return scores;
    const ids = this.#ids?.narrow(2, 0, this.#length) ?? null;
    return this.#processors.reduce((processed, process) => process(processed, ids, this.#length), scores);
  }

  /** Appends a token to every continuation, after replacing each by its parent; tokens and parents `[B, W]`. */
  append(tokens: Tensor, parents: Tensor | null): void {
    if (this.#ids !== null) {
      if (parents !== null) {
        const past = this.#ids.narrow(2, 0, this.#length);
        past.copy_(past.gather(1, parents.unsqueeze(2).expand(-1, -1, this.#length)));
      }
      this.#ids.select(2, this.#length).copy_(tokens);
    }
    this.#length++;
  }

  dispose(): void {
    this.ends?.dispose();
    this.#ids?.dispose();
  }
}

const looksBack = (settings: Settings): boolean => settings.repetitionPenalty !== 1 || settings.noRepeatNgramSize > 0;

function continuations(prompt: PromptIds, width: number, maxLength: number, vocabulary: number): Tensor {
  const outside = prompt.ids.find((id) => id < 0n || id >= BigInt(vocabulary));
  if (outside !== undefined) {
    throw new ArgumentError('inputIds', `ids from 0 to ${vocabulary - 1} (penalties look their scores up)`, String(outside));
  }
  const { batch, length, device } = prompt;
  const ids = empty([batch, width, maxLength], { dtype: 'int64', device });
  ids.narrow(2, 0, length).copy_(fromTypedArray(prompt.ids, [batch, 1, length]));
  return ids;
}

function chain(settings: Settings, ends: Tensor | null): readonly Processor[] {
  const { minLength, numBeams, topK: k, topP: p } = settings;
  const processors: Processor[] = [];
  if (settings.repetitionPenalty !== 1) {
    processors.push((scores, ids) => repetitionPenalty(scores, ids as Tensor, settings.repetitionPenalty));
  }
  if (settings.noRepeatNgramSize > 0) {
    processors.push((scores, ids) => noRepeatNgram(scores, ids as Tensor, settings.noRepeatNgramSize));
  }
  if (ends !== null && minLength > settings.promptLength) {
    processors.push((scores, _ids, length) => (length < minLength ? suppress(scores, ends) : scores));
  }
  if (settings.doSample) {
    // Beams need one token more than can end them, or none might be left to go on with.
    const atLeast = numBeams === 1 ? 1 : Math.max(1, settings.eosTokenIds.length) + 1;
    if (settings.temperature !== 1) processors.push((scores) => temperature(scores, settings.temperature));
    if (k > 0) processors.push((scores) => topK(scores, Math.max(k, atLeast)));
    if (p < 1) processors.push((scores) => topP(scores, p, atLeast));
  }
  return processors;
}
