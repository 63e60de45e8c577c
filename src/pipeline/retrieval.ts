import type { ImageSource } from '../data/index.ts';
import { ArgumentError } from '../native/errors.ts';
import type { ModelCalls } from './calls.ts';
import { checkBatchSize, checkOptions, checkSignal, imagesOf, type PretrainedOptions, portable, settingsFor } from './inputs.ts';
import { startModel } from './pool.ts';

/** Options of the retrieval calls. */
export interface RetrievalOptions {
  /** Pictures, or texts, in one batch; 16 unless told. */
  batchSize?: number;
  /** Stops the call, at the next batch; it rejects at once. */
  signal?: AbortSignal;
}

/** How well a picture and a text fit. */
export interface MatchScores {
  /** Probability that they match, by the matching head (ITM). */
  itm: number;
  /** The matching head's raw logit for "match"; LAVIS ranks by its sum with `itc`. */
  itmLogit: number;
  /** Cosine similarity of the text with the picture's best query (ITC), −1 to 1. */
  itc: number;
}

/** @internal */
export interface MatchRequest {
  images: readonly ImageSource[];
  texts: readonly string[];
  batchSize: number;
}

/**
 * Scores and embeddings of pictures and texts for applications. The model lives in a worker thread, as for {@link Blip2}.
 *
 * @example
 * const retrieval = await Blip2Retrieval.fromPretrained('Salesforce/blip2-itm-vit-g');
 * const [row] = await retrieval.match(['beach.jpg'], ['a dog on a beach', 'a city at night']);
 */
export class Blip2Retrieval {
  readonly #worker: ModelCalls;

  private constructor(worker: ModelCalls) {
    this.#worker = worker;
  }

  /** Loads a Hugging Face checkpoint of `Blip2ForImageTextRetrieval`, a folder or the Hub's; throws as `Blip2.fromPretrained` does. */
  static async fromPretrained(model: string, options: PretrainedOptions = {}): Promise<Blip2Retrieval> {
    const { settings, workers } = await settingsFor('retrieval', model, options);
    return new Blip2Retrieval(await startModel(settings, workers));
  }

  /** Scores of every picture with every text: `result[picture][text]`. */
  async match(
    images: ImageSource | readonly ImageSource[],
    texts: string | readonly string[],
    options: RetrievalOptions = {},
  ): Promise<MatchScores[][]> {
    const request: MatchRequest = { images: pictures(images), texts: strings(texts), batchSize: batchOf(options) };
    return this.#worker.call('match', request, options.signal) as Promise<MatchScores[][]>;
  }

  /** A picture's embeddings, one a query and each of length 1: `result[picture][query][dimension]`. */
  async encodeImages(images: ImageSource | readonly ImageSource[], options: RetrievalOptions = {}): Promise<Float32Array[][]> {
    const request: MatchRequest = { images: pictures(images), texts: [], batchSize: batchOf(options) };
    return this.#worker.call('encodeImages', request, options.signal) as Promise<Float32Array[][]>;
  }

  /** A text's embedding, of length 1: `result[text][dimension]`. The greatest cosine with a picture's queries is `itc`. */
  async encodeTexts(texts: string | readonly string[], options: RetrievalOptions = {}): Promise<Float32Array[]> {
    const request: MatchRequest = { images: [], texts: strings(texts), batchSize: batchOf(options) };
    return this.#worker.call('encodeTexts', request, options.signal) as Promise<Float32Array[]>;
  }

  /** Frees the model and ends its threads; calls that wait are rejected. */
  close(): Promise<void> {
    return this.#worker.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const pictures = (images: ImageSource | readonly ImageSource[]): ImageSource[] => imagesOf(images).list.map(portable);

function strings(texts: string | readonly string[]): readonly string[] {
  const list = typeof texts === 'string' ? [texts] : texts;
  if (!Array.isArray(list) || list.length === 0 || list.some((text) => typeof text !== 'string')) {
    throw new ArgumentError(
      'texts',
      'a string or a list of strings',
      Array.isArray(list) ? `a list of ${list.length}` : typeof texts,
    );
  }
  return list;
}

const KNOWN: Record<keyof RetrievalOptions, true> = { batchSize: true, signal: true };

/** The batch size of options that are in order. */
function batchOf(options: RetrievalOptions): number {
  checkOptions(options, KNOWN);
  const { batchSize = 16, signal } = options;
  checkBatchSize(batchSize);
  checkSignal(signal);
  return batchSize;
}
