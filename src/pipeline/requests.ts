import type { GenerateOptions } from '../generate/index.ts';
import { languageKind, languageKinds } from '../models/blip2/language/kinds.ts';
import { defined } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import type { ModelCalls } from './calls.ts';
import { EncodedImage, type ImageInput, type SentImage } from './encoded-image.ts';
import { checkBatchSize, checkOptions, checkSignal, imagesOf, portable, shown, textsOf } from './inputs.ts';
import type { GenerativeFacts } from './protocol.ts';

/** Options of the calls that write text: {@link GenerateOptions}, and how many pictures go through the model at a time. */
export interface TextOptions extends Omit<GenerateOptions, 'numReturnSequences' | 'seed'> {
  /** Where sampling starts. Every picture draws the same numbers from it, so its text does not depend on the others; without it, its own. */
  seed?: number | undefined;
  /** Pictures in one batch; 8 unless told. */
  batchSize?: number | undefined;
}

/** Options of {@link Blip2.caption}. Five beams and 1 to 30 tokens unless told. */
export interface CaptionOptions extends TextOptions {
  /** What the caption goes on from, such as `'a photo of'`; nothing unless told. */
  prompt?: string | undefined;
}

/** Options of {@link Blip2.answer}: as in the paper's zero-shot answers, five beams, 1 to 10 tokens and a length penalty of −1 unless told. */
export interface AnswerOptions extends TextOptions {
  /** Where the question stands for `{}`; {@link answerTemplates} unless told. */
  template?: string | undefined;
  /** Asks blank questions, too, as an evaluation may have to; false unless told, as a model would answer anything. */
  allowBlank?: boolean | undefined;
}

/** Options of {@link Blip2.rank}. */
export interface RankOptions extends Pick<AnswerOptions, 'template' | 'allowBlank' | 'batchSize' | 'signal'> {}

/** An answer with what the model thinks of it. */
export interface RankedAnswer {
  /** As it was given. */
  readonly answer: string;
  /** log p(answer | picture, question), its end included: the sum over its tokens. */
  readonly logLikelihood: number;
  /** Its share among the given answers: the softmax of their log-likelihoods. */
  readonly probability: number;
}

/** What the paper asks with, by the kind of language model (§4.1: "Question: {} Answer:" for OPT, "Question: {} Short answer:" for Flan-T5). */
export const answerTemplates = Object.fromEntries(
  languageKinds.map((kind) => [kind, languageKind(kind).defaults.question]),
) as Readonly<Record<GenerativeFacts['languageModel'], string>>;

/** What the worker is asked. */
export interface TextRequest {
  images: readonly SentImage[];
  /** What errors call pictures without a file: where in the caller's list they are; null of a single one. */
  names: readonly (string | null)[];
  prompts: readonly (string | null)[];
  batchSize: number;
  options: GenerateOptions;
}

/** The same for given answers, a list for each picture. */
export interface RankRequest extends Pick<TextRequest, 'images' | 'names' | 'batchSize'> {
  prompts: readonly string[];
  answers: readonly (readonly string[])[];
}

/** Pictures to be held, and the numbers that they are held as. */
export interface EncodeRequest extends Pick<TextRequest, 'images' | 'names' | 'batchSize'> {
  ids: readonly number[];
}

/** A request, the signal that stops it, and whether it was made for a single picture. */
export interface Prepared<R = TextRequest> {
  request: R;
  signal: AbortSignal | undefined;
  single: boolean;
}

/** What asking depends on. */
export interface Asked {
  worker: ModelCalls;
  languageModel: GenerativeFacts['languageModel'];
}

// LAVIS's least length of 1. With T5 it counts the token that the decoder starts from, and so forbids nothing; an empty text is of no use there either.
const CAPTION: TextOptions = { numBeams: 5, minNewTokens: 1, maxNewTokens: 30 };
const ANSWER: TextOptions = { numBeams: 5, maxNewTokens: 10, minNewTokens: 1, lengthPenalty: -1 };
export const STREAM: TextOptions = { numBeams: 1 };

/** Every option of {@link TextOptions}; one sequence is returned for each picture, and one seed serves them all. */
const KNOWN: Record<keyof TextOptions, true> = {
  maxLength: true,
  maxNewTokens: true,
  minLength: true,
  minNewTokens: true,
  doSample: true,
  temperature: true,
  topK: true,
  topP: true,
  seed: true,
  numBeams: true,
  lengthPenalty: true,
  earlyStopping: true,
  repetitionPenalty: true,
  noRepeatNgramSize: true,
  eosTokenId: true,
  padTokenId: true,
  bosTokenId: true,
  signal: true,
  batchSize: true,
};
const RANK_KNOWN: Record<keyof RankOptions, true> = { template: true, allowBlank: true, batchSize: true, signal: true };

export function captionRequest(
  { worker }: Asked,
  images: ImageInput | readonly ImageInput[],
  options: CaptionOptions,
  defaults: TextOptions = {},
): Prepared {
  checkOptions(options, { ...KNOWN, prompt: true });
  const { prompt, ...rest } = options;
  if (prompt !== undefined && typeof prompt !== 'string') throw new ArgumentError('prompt', 'a string', typeof prompt);
  const sent = sentImages(worker, images);
  const prompts = sent.list.map(() => prompt ?? null);
  return textRequest(sent, prompts, withDefaults(rest, { ...CAPTION, ...defaults }));
}

export function answerRequest(
  asked: Asked,
  images: ImageInput | readonly ImageInput[],
  questions: string | readonly string[],
  options: AnswerOptions,
  defaults: TextOptions = {},
): Prepared {
  checkOptions(options, { ...KNOWN, template: true, allowBlank: true });
  const { template, allowBlank, ...rest } = options;
  const sent = sentImages(asked.worker, images);
  const prompts = promptsOf(asked, questions, { template, allowBlank }, sent.list.length);
  return textRequest(sent, prompts, withDefaults(rest, { ...ANSWER, ...defaults }));
}

/** Options with defaults for what they do not say. A length that counts the prompt, too, stands in for one of new tokens, which would go before it. */
function withDefaults(options: TextOptions, { minNewTokens, maxNewTokens, ...defaults }: TextOptions): TextOptions {
  const told: TextOptions = defined(options);
  return {
    ...defaults,
    ...(told.minLength === undefined ? { minNewTokens } : {}),
    ...(told.maxLength === undefined ? { maxNewTokens } : {}),
    ...told,
  };
}

export function rankRequest(
  asked: Asked,
  images: ImageInput | readonly ImageInput[],
  questions: string | readonly string[],
  answers: readonly string[] | readonly (readonly string[])[],
  options: RankOptions,
): Prepared<RankRequest> {
  checkOptions(options, RANK_KNOWN);
  const { batchSize = 8, signal } = options;
  checkBatchSize(batchSize);
  checkSignal(signal);
  const { list, names, single } = sentImages(asked.worker, images);
  const prompts = promptsOf(asked, questions, options, list.length);
  return { request: { images: list, names, prompts, answers: answersOf(answers, list.length), batchSize }, signal, single };
}

/** Pictures as the worker is sent them, and whether a single one was given. */
interface Sent extends Pick<TextRequest, 'names'> {
  list: readonly SentImage[];
  single: boolean;
}

/** The pictures as the worker is sent them. */
export function sentImages(worker: ModelCalls, images: ImageInput | readonly ImageInput[]): Sent {
  const { list, single } = imagesOf(images);
  const sent = list.map((image) => (image instanceof EncodedImage ? image.request(worker) : portable(image)));
  return { list: sent, names: sent.map((_, i) => (single ? null : `images[${i}]`)), single };
}

function promptsOf(
  { languageModel }: Asked,
  questions: string | readonly string[],
  { template, allowBlank = false }: Pick<AnswerOptions, 'template' | 'allowBlank'>,
  count: number,
): string[] {
  const frame = template ?? answerTemplates[languageModel];
  if (typeof frame !== 'string' || !frame.includes('{}')) {
    throw new ArgumentError('template', 'a string with {} in it', shown(frame));
  }
  if (typeof allowBlank !== 'boolean') throw new ArgumentError('allowBlank', 'true or false', shown(allowBlank));
  return textsOf('questions', questions, count, allowBlank).map((question) => frame.replace('{}', () => question));
}

/** One list of answers a picture; a single one stands for all. */
function answersOf(answers: readonly string[] | readonly (readonly string[])[], count: number): readonly (readonly string[])[] {
  const isList = (list: unknown): list is string[] =>
    Array.isArray(list) && list.length > 0 && list.every((answer) => typeof answer === 'string' && answer.trim() !== '');
  if (isList(answers)) return new Array<readonly string[]>(count).fill(answers);
  if (!Array.isArray(answers) || !answers.every(isList)) {
    throw new ArgumentError('answers', 'a list of texts that are not blank, or one for each picture', shown(answers));
  }
  if (answers.length !== count)
    throw new ArgumentError('answers', `a list for each of the ${count} pictures`, String(answers.length));
  return answers;
}

function textRequest(
  { list: images, names, single }: Sent,
  prompts: readonly (string | null)[],
  { signal, batchSize = 8, ...options }: TextOptions,
): Prepared {
  checkBatchSize(batchSize);
  checkSignal(signal);
  const { seed } = options;
  if (seed !== undefined && !(Number.isSafeInteger(seed) && seed >= 0)) {
    throw new ArgumentError('seed', 'an integer of at least 0', shown(seed));
  }
  return { request: { images, names, prompts, batchSize, options }, signal, single };
}

/** Answers with their shares, the likeliest first; equal ones in the order in which they were given. */
export function ranked(answers: readonly string[], logLikelihoods: readonly number[]): RankedAnswer[] {
  const greatest = Math.max(...logLikelihoods);
  const shares = logLikelihoods.map((value) => Math.exp(value - greatest));
  const sum = shares.reduce((total, share) => total + share, 0);
  return answers
    .map((answer, i) => ({
      answer,
      logLikelihood: logLikelihoods[i] as number,
      probability: (shares[i] as number) / sum,
    }))
    .sort((a, b) => b.logLikelihood - a.logLikelihood);
}
