import { anAbortSignal, checkArgument } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';

/** How to decode: Hugging Face's options of `generate` under their names in camelCase, with their defaults. */
export interface GenerateOptions {
  /** Most tokens of a sequence, the prompt's included; `maxNewTokens` goes before it. */
  maxLength?: number | undefined;
  /** Most tokens after the prompt; 20 (or as many as the model has room for) unless a maximum is given. */
  maxNewTokens?: number | undefined;
  /** A sequence does not end before it has this many tokens, the prompt's included; `minNewTokens` goes before it. */
  minLength?: number | undefined;
  /** A sequence does not end before it has this many tokens after the prompt. */
  minNewTokens?: number | undefined;

  /** Draw tokens instead of taking the likeliest; false unless told. */
  doSample?: boolean | undefined;
  /** Sampling: divides the scores; above 1 flattens the distribution. */
  temperature?: number | undefined;
  /** Sampling: only the k likeliest tokens may be drawn; 50 unless told, 0 turns it off. */
  topK?: number | undefined;
  /** Sampling: only the fewest likeliest tokens whose probabilities reach p may be drawn; 1 turns it off. */
  topP?: number | undefined;
  /**
   * Sampling: where the random numbers start, one seed for all rows or one a row. Every row has a stream of its own, so a row draws the
   * same alone as in any batch, and equal rows with equal seeds draw the same. Without a seed each row gets a random one.
   */
  seed?: number | readonly number[] | undefined;

  /** Hypotheses kept side by side; 1 (no beam search) unless told. */
  numBeams?: number | undefined;
  /** Sequences returned for each prompt: up to `numBeams`, or, when sampling without beams, any number. */
  numReturnSequences?: number | undefined;
  /** Beams: a finished hypothesis of n new tokens is scored (Σ log p) / nˡ; l = 1 unless told. Above 0 favours long ones. */
  lengthPenalty?: number | undefined;
  /**
   * Beams: when to stop a prompt. `true`: as soon as `numBeams` hypotheses are finished; `false` (unless told): when the best
   * running one, at its present length, is no better than the worst finished one; `'never'`: when it cannot become better at any length.
   */
  earlyStopping?: boolean | 'never' | undefined;

  /** Divides positive and multiplies negative scores of tokens that a sequence, prompt included, has already; 1 turns it off. */
  repetitionPenalty?: number | undefined;
  /** No run of this many tokens may occur twice in a sequence, prompt included; 0 turns it off. */
  noRepeatNgramSize?: number | undefined;

  /** The token or tokens that end a sequence; without one, sequences end at their maximum. */
  eosTokenId?: number | readonly number[] | null | undefined;
  /** What fills the rows that end before the longest; the first end token unless told. */
  padTokenId?: number | null | undefined;
  /** What a row without a prompt starts with. The model that makes the prompt reads it, decoding itself does not. */
  bosTokenId?: number | null | undefined;

  /** Stops decoding before the next step: `generate` then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** @internal Options with every rule and default applied; lengths count the prompt. */
export interface Settings {
  readonly promptLength: number;
  readonly maxLength: number;
  readonly minLength: number;
  readonly doSample: boolean;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly seeds: readonly number[] | null;
  readonly numBeams: number;
  readonly numReturnSequences: number;
  readonly lengthPenalty: number;
  readonly earlyStopping: boolean | 'never';
  readonly repetitionPenalty: number;
  readonly noRepeatNgramSize: number;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
  readonly signal: AbortSignal | null;
}

const KNOWN: ReadonlySet<string> = new Set<keyof GenerateOptions>([
  'maxLength',
  'maxNewTokens',
  'minLength',
  'minNewTokens',
  'doSample',
  'temperature',
  'topK',
  'topP',
  'seed',
  'numBeams',
  'numReturnSequences',
  'lengthPenalty',
  'earlyStopping',
  'repetitionPenalty',
  'noRepeatNgramSize',
  'eosTokenId',
  'padTokenId',
  'bosTokenId',
  'signal',
]);

const DEFAULT_NEW_TOKENS = 20;

/**
 * @internal Checks the options against each other and the prompt.
 * @throws ArgumentError that names the option
 */
export function resolveOptions(
  options: GenerateOptions,
  prompt: { readonly batch: number; readonly length: number; readonly room: number },
): Settings {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', String(options));
  const unknown = Object.keys(options).find((name) => !KNOWN.has(name));
  if (unknown !== undefined) throw new ArgumentError(unknown, 'an option of GenerateOptions', 'an unknown one');

  const doSample = truth('doSample', options.doSample ?? false);
  const numBeams = integer('numBeams', options.numBeams ?? 1, 1);
  integerOrNull('bosTokenId', options.bosTokenId);
  return {
    promptLength: prompt.length,
    ...lengths(options, prompt.length, prompt.room),
    doSample,
    temperature: divisor('temperature', options.temperature ?? 1, '; for the likeliest token alone, doSample: false'),
    topK: integer('topK', options.topK ?? 50, 0),
    topP: within('topP', options.topP ?? 1, 0, 1),
    seeds: seeds(options.seed, prompt.batch),
    numBeams,
    numReturnSequences: returned(options.numReturnSequences ?? 1, numBeams, doSample),
    lengthPenalty: within('lengthPenalty', options.lengthPenalty ?? 1, -Number.MAX_VALUE, Number.MAX_VALUE),
    earlyStopping: earlyStopping(options.earlyStopping ?? false),
    repetitionPenalty: divisor('repetitionPenalty', options.repetitionPenalty ?? 1),
    noRepeatNgramSize: integer('noRepeatNgramSize', options.noRepeatNgramSize ?? 0, 0),
    eosTokenIds: endTokens(options.eosTokenId),
    padTokenId: integerOrNull('padTokenId', options.padTokenId),
    signal: abortSignal(options.signal),
  };
}

/** The least and the greatest length, prompt included; what counts new tokens goes before what counts all. */
function lengths(options: GenerateOptions, promptLength: number, room: number): { minLength: number; maxLength: number } {
  if (room < 1)
    throw new ArgumentError('inputIds', 'a prompt after which the model has room', `${promptLength} tokens, which fill it`);
  const { maxNewTokens, minNewTokens } = options;
  let maxLength: number;
  if (maxNewTokens !== undefined) {
    maxLength = promptLength + integer('maxNewTokens', maxNewTokens, 1, room, ', which the model has room for');
  } else if (options.maxLength !== undefined) {
    const suffix = room === Number.POSITIVE_INFINITY ? '' : ', which the model has room for';
    maxLength = integer('maxLength', options.maxLength, promptLength + 1, promptLength + room, suffix);
  } else {
    maxLength = promptLength + Math.min(DEFAULT_NEW_TOKENS, room);
  }
  const suffix = ', the maximum';
  if (minNewTokens !== undefined) {
    return { maxLength, minLength: promptLength + integer('minNewTokens', minNewTokens, 0, maxLength - promptLength, suffix) };
  }
  return { maxLength, minLength: integer('minLength', options.minLength ?? 0, 0, maxLength, suffix) };
}

function returned(value: number, numBeams: number, doSample: boolean): number {
  const count = integer('numReturnSequences', value, 1);
  if (numBeams > 1) return integer('numReturnSequences', count, 1, numBeams, ' (numBeams)');
  if (count > 1 && !doSample) {
    throw new ArgumentError('numReturnSequences', '1 where neither numBeams nor doSample makes several', String(count));
  }
  return count;
}

function earlyStopping(value: boolean | 'never'): boolean | 'never' {
  if (typeof value === 'boolean' || value === 'never') return value;
  throw new ArgumentError('earlyStopping', "true, false or 'never'", shown(value));
}

function endTokens(value: GenerateOptions['eosTokenId']): readonly number[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return [integer('eosTokenId', value as number, 0)];
  if (value.length === 0) throw new ArgumentError('eosTokenId', 'at least one token id', 'an empty list');
  return value.map((id) => integer('eosTokenId', id, 0));
}

function seeds(value: GenerateOptions['seed'], batch: number): readonly number[] | null {
  if (value === undefined) return null;
  if (!Array.isArray(value)) return new Array<number>(batch).fill(integer('seed', value as number, 0));
  if (value.length !== batch) throw new ArgumentError('seed', `one seed a row (${batch})`, `${value.length}`);
  return value.map((seed) => integer('seed', seed, 0));
}

function abortSignal(value: AbortSignal | undefined): AbortSignal | null {
  if (value === undefined) return null;
  checkArgument('signal', value, anAbortSignal);
  return value;
}

function integerOrNull(name: string, value: number | null | undefined): number | null {
  return value === undefined || value === null ? null : integer(name, value, 0);
}

function integer(name: string, value: number, least: number, most = Number.POSITIVE_INFINITY, reason = ''): number {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  const range = Number.isFinite(most) ? `from ${least} to ${most}${reason}` : `of at least ${least}`;
  throw new ArgumentError(name, `an integer ${range}`, shown(value));
}

/** What scores are divided by: beyond these bounds a float32 score would become infinite, and its probability NaN. */
function divisor(name: string, value: number, hint = ''): number {
  if (typeof value === 'number' && value >= 1e-30 && value <= 1e30) return value;
  throw new ArgumentError(name, `a number above 0, from 1e-30 to 1e30${hint}`, shown(value));
}

function within(name: string, value: number, least: number, most: number): number {
  if (typeof value === 'number' && value >= least && value <= most) return value;
  throw new ArgumentError(name, least === 0 ? `a number from ${least} to ${most}` : 'a finite number', shown(value));
}

function truth(name: string, value: boolean): boolean {
  if (typeof value === 'boolean') return value;
  throw new ArgumentError(name, 'true or false', shown(value));
}

/** A value as an error message shows it; it comes from JavaScript too, so it may be anything. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  return String(value);
}
