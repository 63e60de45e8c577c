import os from 'node:os';
import { ArgumentError } from '../../native/errors.ts';
import { shown } from '../../native/fields.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { RetrievalTokenizer } from './model.ts';

/** How far `evaluateRetrieval` is. */
export interface RetrievalProgress {
  /** Pictures are read and encoded, then texts; all are compared, and the best candidates matched. */
  readonly phase: 'pictures' | 'texts' | 'similarities' | 'matching';
  /** Pictures or texts done; when matching, pairs. */
  readonly done: number;
  /** How many there are; null of pictures, as a gallery is read to its end. */
  readonly total: number | null;
}

/** Options of `evaluateRetrieval`. */
export interface RetrievalEvaluationOptions {
  /** BERT's. */
  readonly tokenizer: RetrievalTokenizer;
  /** Encodes `pixelValues` for a model that takes a frozen encoder's features; such as a `FrozenEncoder`. */
  readonly encoder?: { encode(pixelValues: Tensor): Tensor } | undefined;
  /** Tokens of a text at most; 35 unless told, as LAVIS has it. */
  readonly maxLength?: number | undefined;
  /** Candidates a query that matching puts into a new order; 128 unless told, as LAVIS has it. With 0 there is the contrast alone. */
  readonly topK?: number | undefined;
  /** For which k to count recall at k; 1, 5 and 10 unless told. */
  readonly recallAt?: readonly number[] | undefined;
  /** Number format of matrix products, by autocast; `'float32'` unless told. */
  readonly precision?: 'float32' | 'bfloat16' | undefined;
  /** Texts that are encoded at a time; 256 unless told. */
  readonly textBatch?: number | undefined;
  /** Pairs that are matched at a time; 128 unless told. */
  readonly matchBatch?: number | undefined;
  /**
   * Number format in which what matching reads of the pictures is kept; that of the model unless told. `'bfloat16'` takes half the room of
   * float32 and changes matching scores a little.
   */
  readonly keepAs?: 'float32' | 'bfloat16' | undefined;
  /** Bytes of these, and of the features that are compared, that stay in memory each; beyond that they go into a temporary file. 1 GiB unless told. */
  readonly maxBytes?: number | undefined;
  /** Where temporary files go; the system's folder for them unless told. */
  readonly directory?: string | undefined;
  /** Ends the evaluation before its next step. */
  readonly signal?: AbortSignal | undefined;
  /** Is told how far the evaluation is. */
  readonly onProgress?: ((progress: RetrievalProgress) => void) | undefined;
}

const KNOWN: Readonly<Record<keyof RetrievalEvaluationOptions, true>> = {
  tokenizer: true,
  encoder: true,
  maxLength: true,
  topK: true,
  recallAt: true,
  precision: true,
  textBatch: true,
  matchBatch: true,
  keepAs: true,
  maxBytes: true,
  directory: true,
  signal: true,
  onProgress: true,
};

/** @internal Options with every default. */
export type RetrievalSettings = Pick<RetrievalEvaluationOptions, 'encoder' | 'keepAs' | 'signal'> & {
  readonly [Name in Exclude<keyof RetrievalEvaluationOptions, 'encoder' | 'keepAs' | 'signal'>]-?: Exclude<
    RetrievalEvaluationOptions[Name],
    undefined
  >;
};

/**
 * @internal
 * @throws ArgumentError that names the option
 */
export function resolveOptions(options: RetrievalEvaluationOptions): RetrievalSettings {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', shown(options));
  const odd = Object.keys(options).find((name) => !Object.hasOwn(KNOWN, name));
  if (odd !== undefined) throw new ArgumentError(odd, 'an option of RetrievalEvaluationOptions', 'an unknown one');
  const { tokenizer, encoder, keepAs, signal, recallAt = [1, 5, 10], precision = 'float32', directory = os.tmpdir() } = options;
  if (typeof tokenizer?.encode !== 'function') throw new ArgumentError('tokenizer', 'a Tokenizer', shown(tokenizer));
  if (encoder !== undefined && typeof encoder?.encode !== 'function') {
    throw new ArgumentError('encoder', 'a FrozenEncoder', shown(encoder));
  }
  if (!Array.isArray(recallAt) || recallAt.length === 0) throw new ArgumentError('recallAt', 'a list of ranks', shown(recallAt));
  for (const k of recallAt) whole('recallAt', k, 1);
  format('precision', precision);
  if (keepAs !== undefined) format('keepAs', keepAs);
  if (typeof directory !== 'string') throw new ArgumentError('directory', "a folder's path", shown(directory));
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new ArgumentError('signal', 'an AbortSignal', shown(signal));
  return {
    tokenizer,
    encoder,
    maxLength: whole('maxLength', options.maxLength ?? 35, 3),
    topK: whole('topK', options.topK ?? 128, 0),
    recallAt: [...new Set(recallAt)].sort((a, b) => a - b),
    precision,
    textBatch: whole('textBatch', options.textBatch ?? 256, 1),
    matchBatch: whole('matchBatch', options.matchBatch ?? 128, 1),
    keepAs,
    maxBytes: whole('maxBytes', options.maxBytes ?? 2 ** 30, 0),
    directory,
    signal,
    onProgress: options.onProgress ?? (() => {}),
  };
}

function whole(name: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new ArgumentError(name, `a whole number from ${least}`, shown(value));
}

function format(name: string, value: string): void {
  if (value !== 'float32' && value !== 'bfloat16') throw new ArgumentError(name, '"float32" or "bfloat16"', shown(value));
}
