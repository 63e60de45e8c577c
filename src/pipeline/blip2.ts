import type { ImageSource } from '../data/index.ts';
import type { GenerateOptions } from '../generate/index.ts';
import { ArgumentError } from '../native/errors.ts';
import { ModelWorker } from './client.ts';
import {
  checkBatchSize,
  checkOptions,
  checkSignal,
  imagesOf,
  type ModelOptions,
  portable,
  settingsOf,
  shown,
  textsOf,
} from './inputs.ts';

/** Options of the calls that write text: {@link GenerateOptions}, and how many pictures go through the model at a time. */
export interface TextOptions extends Omit<GenerateOptions, 'numReturnSequences' | 'seed'> {
  /** Where sampling starts; every picture has its own stream from it. */
  seed?: number | undefined;
  /** Pictures in one batch; 8 unless told. */
  batchSize?: number | undefined;
}

/** Options of {@link Blip2.caption}. Five beams and at most 30 tokens unless told. */
export interface CaptionOptions extends TextOptions {
  /** What the caption goes on from, such as `'a photo of'`; nothing unless told. */
  prompt?: string;
}

/** Options of {@link Blip2.answer}. Five beams, at most 10 tokens and a length penalty of 0 unless told. */
export interface AnswerOptions extends TextOptions {
  /** Where the question stands for `{}`; `'Question: {} Short answer:'` unless told. */
  template?: string;
}

/** A piece of streamed text. */
export interface TextPiece {
  /** Which of the pictures it belongs to. */
  index: number;
  /** What comes after that picture's earlier pieces. */
  text: string;
}

/** @internal What the worker is asked. */
export interface TextRequest {
  images: readonly ImageSource[];
  prompts: readonly (string | null)[];
  batchSize: number;
  options: GenerateOptions;
}

const CAPTION: TextOptions = { numBeams: 5, maxNewTokens: 30 };
const ANSWER: TextOptions = { numBeams: 5, maxNewTokens: 10, minNewTokens: 1, lengthPenalty: 0 };
const STREAM: TextOptions = { numBeams: 1 };
const TEMPLATE = 'Question: {} Short answer:';

/**
 * Captions and answers for applications: pictures and strings in, strings out. The model lives in a worker thread, so the event loop stays
 * free; calls made at the same time wait for one another.
 *
 * @example
 * const blip2 = await Blip2.fromPretrained('blip2-opt-2.7b', { dtype: 'bfloat16' });
 * console.log(await blip2.caption('beach.jpg'));
 * console.log(await blip2.answer('beach.jpg', 'what is the dog doing?'));
 * await blip2.close();
 */
export class Blip2 {
  readonly #worker: ModelWorker;

  private constructor(worker: ModelWorker) {
    this.#worker = worker;
  }

  /**
   * Loads a Hugging Face checkpoint folder of `Blip2ForConditionalGeneration`, with tokenizer and preprocessor.
   * @throws FileError, StateDictError, ArgumentError for a folder that is not one; DeviceError where the device cannot be used
   */
  static async fromPretrained(directory: string, options: ModelOptions = {}): Promise<Blip2> {
    return new Blip2(await ModelWorker.start(settingsOf('generative', directory, options)));
  }

  /**
   * One caption a picture.
   * @throws ImageError (naming the picture), ArgumentError (naming the option); the signal's reason; WorkerError once closed
   */
  caption(image: ImageSource, options?: CaptionOptions): Promise<string>;
  caption(images: readonly ImageSource[], options?: CaptionOptions): Promise<string[]>;
  async caption(images: ImageSource | readonly ImageSource[], options: CaptionOptions = {}): Promise<string | string[]> {
    const { request, signal, single } = captionRequest(images, options);
    const texts = (await this.#worker.call('write', request, signal)) as string[];
    return single ? (texts[0] as string) : texts;
  }

  /** Captions in pieces as they come; greedy unless `doSample`. Leaving the loop early stops the model. */
  streamCaption(
    images: ImageSource | readonly ImageSource[],
    options: CaptionOptions = {},
  ): AsyncGenerator<TextPiece, void, undefined> {
    const { request, signal } = captionRequest(images, options, STREAM);
    return this.#stream(request, signal);
  }

  /**
   * One answer a picture; with a single question, that question of each.
   * @throws as {@link caption}
   */
  answer(image: ImageSource, question: string, options?: AnswerOptions): Promise<string>;
  answer(images: readonly ImageSource[], questions: string | readonly string[], options?: AnswerOptions): Promise<string[]>;
  async answer(
    images: ImageSource | readonly ImageSource[],
    questions: string | readonly string[],
    options: AnswerOptions = {},
  ): Promise<string | string[]> {
    const { request, signal, single } = answerRequest(images, questions, options);
    const texts = (await this.#worker.call('write', request, signal)) as string[];
    return single ? (texts[0] as string) : texts;
  }

  /** Answers in pieces as they come; greedy unless `doSample`. Leaving the loop early stops the model. */
  streamAnswer(
    images: ImageSource | readonly ImageSource[],
    questions: string | readonly string[],
    options: AnswerOptions = {},
  ): AsyncGenerator<TextPiece, void, undefined> {
    const { request, signal } = answerRequest(images, questions, options, STREAM);
    return this.#stream(request, signal);
  }

  #stream(request: TextRequest, signal: AbortSignal | undefined): AsyncGenerator<TextPiece, void, undefined> {
    return this.#worker.stream('stream', request, signal) as AsyncGenerator<TextPiece, void, undefined>;
  }

  /** Frees the model and ends its thread; calls that wait are rejected. */
  close(): Promise<void> {
    return this.#worker.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

interface Prepared {
  request: TextRequest;
  signal: AbortSignal | undefined;
  single: boolean;
}

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

function captionRequest(
  images: ImageSource | readonly ImageSource[],
  options: CaptionOptions,
  defaults: TextOptions = {},
): Prepared {
  checkOptions(options, { ...KNOWN, prompt: true });
  const { prompt, ...rest } = options;
  if (prompt !== undefined && typeof prompt !== 'string') throw new ArgumentError('prompt', 'a string', typeof prompt);
  const { list, single } = imagesOf(images);
  return prepared(
    list,
    single,
    list.map(() => prompt ?? null),
    { ...CAPTION, ...defaults, ...rest },
  );
}

function answerRequest(
  images: ImageSource | readonly ImageSource[],
  questions: string | readonly string[],
  options: AnswerOptions,
  defaults: TextOptions = {},
): Prepared {
  checkOptions(options, { ...KNOWN, template: true });
  const { template = TEMPLATE, ...rest } = options;
  if (typeof template !== 'string' || !template.includes('{}')) {
    throw new ArgumentError('template', 'a string with {} in it', shown(template));
  }
  const { list, single } = imagesOf(images);
  const prompts = textsOf('questions', questions, list.length).map((question) => template.replace('{}', () => question));
  return prepared(list, single, prompts, { ...ANSWER, ...defaults, ...rest });
}

function prepared(
  images: readonly ImageSource[],
  single: boolean,
  prompts: readonly (string | null)[],
  { signal, batchSize = 8, ...options }: TextOptions,
): Prepared {
  checkBatchSize(batchSize);
  checkSignal(signal);
  const { seed } = options;
  if (seed !== undefined && !(Number.isSafeInteger(seed) && seed >= 0)) {
    throw new ArgumentError('seed', 'an integer of at least 0', shown(seed));
  }
  return { request: { images: images.map(portable), prompts, batchSize, options }, signal, single };
}
