import type { TextConfig } from '../models/index.ts';
import { aSize, checkArgument } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import type { Tensor } from '../tensor/index.ts';
import type { ModelCalls } from './calls.ts';
import { EncodedImage, type ImageInput } from './encoded-image.ts';
import { checkBatchSize, checkOptions, checkSignal, type PretrainedOptions, settingsFor, shown } from './inputs.ts';
import { startModel } from './pool.ts';
import type { GenerativeFacts } from './protocol.ts';
import {
  type AnswerOptions,
  type Asked,
  answerRequest,
  type CaptionOptions,
  captionRequest,
  type EncodeRequest,
  type RankedAnswer,
  type RankOptions,
  ranked,
  rankRequest,
  STREAM,
  sentImages,
  type TextRequest,
} from './requests.ts';

/** A piece of streamed text. */
export interface TextPiece {
  /** Which of the pictures it belongs to. */
  index: number;
  /** What comes after that picture's earlier pieces. */
  text: string;
}

/**
 * Captions and answers for applications: pictures and strings in, strings out. The model lives in a worker thread, so the event loop stays
 * free; calls made at the same time wait for one another, or, with several `workers`, for the first that is free.
 *
 * @example
 * const blip2 = await Blip2.fromPretrained('Salesforce/blip2-opt-2.7b', { dtype: 'bfloat16' });
 * console.log(await blip2.caption('beach.jpg'));
 * console.log(await blip2.answer('beach.jpg', 'what is the dog doing?'));
 * await blip2.close();
 */
export class Blip2 {
  readonly #worker: ModelCalls;
  readonly #facts: GenerativeFacts;
  #held = 0;

  private constructor(worker: ModelCalls) {
    this.#worker = worker;
    this.#facts = worker.facts as GenerativeFacts;
  }

  /**
   * Loads a Hugging Face checkpoint of `Blip2ForConditionalGeneration`, with tokenizer and preprocessor.
   * @param model its folder, or a repository of the Hub (`owner/name`), which is downloaded unless the cache has it (see {@link download});
   *   a folder of that name goes first
   * @throws FileError, StateDictError, ArgumentError for a folder that is not there, or not one; HubError where it cannot be downloaded; DeviceError where
   *   the device cannot be used
   */
  static async fromPretrained(model: string, options: PretrainedOptions = {}): Promise<Blip2> {
    const { settings, workers } = await settingsFor('generative', model, options);
    return new Blip2(await startModel(settings, workers));
  }

  /** @internal A model that is there already, in the calling thread. */
  static over(model: ModelCalls): Blip2 {
    return new Blip2(model);
  }

  /** @internal Queries `[B, Q, E]` as {@link encode} would have made them, in pictures' place; for models in the calling thread. */
  async hold(queries: Tensor): Promise<EncodedImage[]> {
    const images = this.#encodedImages(queries.size(0));
    await this.#worker.call('hold', { queries, ids: images.map(({ id }) => id) });
    return images;
  }

  /** The kind of the language model. */
  get languageModel(): TextConfig['modelType'] {
    return this.#facts.languageModel;
  }

  /**
   * One caption a picture.
   * @throws ImageError (naming the picture), ArgumentError (naming the option); the signal's reason; WorkerError once closed
   */
  caption(image: ImageInput, options?: CaptionOptions): Promise<string>;
  caption(images: readonly ImageInput[], options?: CaptionOptions): Promise<string[]>;
  async caption(images: ImageInput | readonly ImageInput[], options: CaptionOptions = {}): Promise<string | string[]> {
    const { request, signal, single } = captionRequest(this.#asked, images, options);
    const texts = (await this.#worker.call('write', request, signal)) as string[];
    return single ? (texts[0] as string) : texts;
  }

  /** Captions in pieces as they come; greedy unless `doSample`. Leaving the loop early stops the model. */
  streamCaption(
    images: ImageInput | readonly ImageInput[],
    options: CaptionOptions = {},
  ): AsyncGenerator<TextPiece, void, undefined> {
    const { request, signal } = captionRequest(this.#asked, images, options, STREAM);
    return this.#stream(request, signal);
  }

  /**
   * One answer a picture; with a single question, that question of each.
   * @throws as {@link caption}
   */
  answer(image: ImageInput, question: string, options?: AnswerOptions): Promise<string>;
  answer(images: readonly ImageInput[], questions: string | readonly string[], options?: AnswerOptions): Promise<string[]>;
  async answer(
    images: ImageInput | readonly ImageInput[],
    questions: string | readonly string[],
    options: AnswerOptions = {},
  ): Promise<string | string[]> {
    const { request, signal, single } = answerRequest(this.#asked, images, questions, options);
    const texts = (await this.#worker.call('write', request, signal)) as string[];
    return single ? (texts[0] as string) : texts;
  }

  /** Answers in pieces as they come; greedy unless `doSample`. Leaving the loop early stops the model. */
  streamAnswer(
    images: ImageInput | readonly ImageInput[],
    questions: string | readonly string[],
    options: AnswerOptions = {},
  ): AsyncGenerator<TextPiece, void, undefined> {
    const { request, signal } = answerRequest(this.#asked, images, questions, options, STREAM);
    return this.#stream(request, signal);
  }

  /**
   * Given answers by how likely the model finds each, the likeliest first. Picture and question go through the model once, whatever the number of
   * answers.
   * @param answers for all pictures, or a list for each
   * @throws as {@link caption}
   * @example const [best] = await blip2.rank('beach.jpg', 'is it day or night?', ['day', 'night']);
   */
  rank(image: ImageInput, question: string, answers: readonly string[], options?: RankOptions): Promise<RankedAnswer[]>;
  rank(
    images: readonly ImageInput[],
    questions: string | readonly string[],
    answers: readonly string[] | readonly (readonly string[])[],
    options?: RankOptions,
  ): Promise<RankedAnswer[][]>;
  async rank(
    images: ImageInput | readonly ImageInput[],
    questions: string | readonly string[],
    answers: readonly string[] | readonly (readonly string[])[],
    options: RankOptions = {},
  ): Promise<RankedAnswer[] | RankedAnswer[][]> {
    const { request, signal, single } = rankRequest(this.#asked, images, questions, answers, options);
    const scores = (await this.#worker.call('rank', request, signal)) as number[][];
    const rows = scores.map((row, i) => ranked(request.answers[i] as readonly string[], row));
    return single ? (rows[0] as RankedAnswer[]) : rows;
  }

  /**
   * Encodes pictures for several calls about them; dispose of each when done.
   * @throws as {@link caption}
   * @example
   * using beach = await blip2.encode('beach.jpg');
   * for (const question of questions) console.log(await blip2.answer(beach, question));
   */
  encode(image: ImageInput, options?: EncodeImageOptions): Promise<EncodedImage>;
  encode(images: readonly ImageInput[], options?: EncodeImageOptions): Promise<EncodedImage[]>;
  async encode(
    images: ImageInput | readonly ImageInput[],
    options: EncodeImageOptions = {},
  ): Promise<EncodedImage | EncodedImage[]> {
    checkOptions(options, { batchSize: true, signal: true });
    const { batchSize = 8, signal } = options;
    checkBatchSize(batchSize);
    checkSignal(signal);
    const { list, names, single } = sentImages(this.#worker, images);
    const encoded = this.#encodedImages(list.length);
    try {
      const request: EncodeRequest = { images: list, names, batchSize, ids: encoded.map(({ id }) => id) };
      await this.#worker.call('encode', request, signal);
    } catch (error) {
      for (const image of encoded) image.dispose(); // some may be held already
      throw error;
    }
    return single ? (encoded[0] as EncodedImage) : encoded;
  }

  /** How many tokens a prompt is, a picture's queries and special tokens included. */
  async countTokens(prompt: string): Promise<number> {
    if (typeof prompt !== 'string') throw new ArgumentError('prompt', 'a string', shown(prompt));
    return (await this.#worker.call('countTokens', prompt)) as number;
  }

  /** The most tokens that a prompt may have ({@link countTokens}) where up to `maxNewTokens` are to follow; Infinity where nothing limits it. */
  promptRoom(maxNewTokens: number): number {
    checkArgument('maxNewTokens', maxNewTokens, aSize);
    const { positions, maxPromptLength } = this.#facts;
    return Math.min(
      positions === null ? Number.POSITIVE_INFINITY : positions - maxNewTokens,
      maxPromptLength ?? Number.POSITIVE_INFINITY,
    );
  }

  get #asked(): Asked {
    return { worker: this.#worker, languageModel: this.languageModel };
  }

  /** What pictures are going to be held as. */
  #encodedImages(count: number): EncodedImage[] {
    return Array.from({ length: count }, () => new EncodedImage(this.#worker, this.#held++));
  }

  #stream(request: TextRequest, signal: AbortSignal | undefined): AsyncGenerator<TextPiece, void, undefined> {
    return this.#worker.stream('stream', request, signal) as AsyncGenerator<TextPiece, void, undefined>;
  }

  /** Frees the model and ends its threads; calls that wait are rejected. */
  close(): Promise<void> {
    return this.#worker.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Options of {@link Blip2.encode}. */
export interface EncodeImageOptions {
  /** Pictures in one batch; 8 unless told. */
  batchSize?: number | undefined;
  /** Stops the call, at the next batch; it rejects at once. */
  signal?: AbortSignal | undefined;
}
