import { checkArgument, having } from '../native/arguments.ts';
import { ArgumentError, Blip2Error } from '../native/errors.ts';
import { shown } from '../native/fields.ts';
import type { CaptionOptions, EncodedImage, ImageInput, TextOptions, TextPiece } from '../pipeline/index.ts';

/** What {@link Chat} needs of a model; a `Blip2` has it. */
export interface ChatModel {
  /** A picture that is to be asked about several times. */
  encode(image: ImageInput, options?: { signal?: AbortSignal }): Promise<EncodedImage>;
  /** Text that goes on from a prompt, in pieces. */
  streamCaption(image: ImageInput, options?: CaptionOptions): AsyncIterable<Pick<TextPiece, 'text'>>;
  /** How many tokens a prompt is. */
  countTokens(prompt: string): Promise<number>;
  /** How many it may be. */
  promptRoom(maxNewTokens: number): number;
}

/** A question and its answer. */
export interface ChatTurn {
  /** As it was asked, without spaces around it. */
  readonly question: string;
  /** What the model said, whole. */
  readonly answer: string;
}

/** Options of {@link Chat.start}: how answers are written, greedily and with at most 30 tokens unless told. */
export interface ChatOptions extends Omit<TextOptions, 'signal' | 'batchSize' | 'numBeams'> {
  /** A turn, with the question and the answer for its two `{}`; `'Question: {} Answer: {}.'` unless told, as LAVIS has it. */
  template?: string | undefined;
  /** What is said already. */
  turns?: readonly ChatTurn[] | undefined;
  /** Stops the encoding of the picture. */
  signal?: AbortSignal | undefined;
}

/** A template at its `{}`. */
type TurnParts = readonly [before: string, between: string, after: string];

const TEMPLATE = 'Question: {} Answer: {}.';

/**
 * A conversation about one picture. The picture is encoded once; every prompt is the turns so far and the new question, as in the
 * paper's Figure 4. Where they no longer fit, the oldest turns are left out of the prompt.
 *
 * @example
 * const chat = await Chat.start(blip2, 'beach.jpg');
 * for await (const text of chat.ask('what is the dog doing?')) process.stdout.write(text);
 * for await (const text of chat.ask('why?')) process.stdout.write(text);
 * chat.close();
 */
export class Chat {
  readonly #model: ChatModel;
  readonly #picture: EncodedImage;
  readonly #writing: CaptionOptions;
  readonly #maxNewTokens: number;
  readonly #parts: TurnParts;
  readonly #turns: ChatTurn[];
  #busy = false;

  private constructor(model: ChatModel, picture: EncodedImage, options: Omit<ChatOptions, 'signal'>, parts: TurnParts) {
    const { template: _, turns = [], maxNewTokens = 30, ...writing } = options;
    this.#model = model;
    this.#picture = picture;
    this.#writing = writing;
    this.#maxNewTokens = maxNewTokens;
    this.#parts = parts;
    this.#turns = [...turns];
  }

  /**
   * Encodes the picture.
   * @throws ArgumentError for a template without two `{}`; what the model throws, ImageError and the signal's reason among it
   */
  static async start(model: ChatModel, image: ImageInput, options: ChatOptions = {}): Promise<Chat> {
    checkArgument('model', model, having('encode', 'streamCaption', 'countTokens', 'promptRoom'));
    if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', shown(options));
    const { signal, ...rest } = options;
    const { template = TEMPLATE } = rest;
    const parts = typeof template === 'string' ? template.split('{}') : [];
    if (parts.length !== 3) throw new ArgumentError('template', 'a string with {} twice in it', shown(template));
    const picture = await model.encode(image, signal === undefined ? {} : { signal });
    return new Chat(model, picture, rest, parts as unknown as TurnParts);
  }

  /** What was said, the oldest first. */
  get turns(): readonly ChatTurn[] {
    return this.#turns;
  }

  /**
   * Asks, and gives the answer in pieces. The turn is among {@link turns} once the answer is whole: one that was stopped, by leaving the loop early or
   * by the signal, is forgotten.
   * @returns the whole answer
   * @throws ArgumentError for a question that does not fit into the model even alone; Blip2Error (`ERR_BUSY`) while another answer is
   *   being written; what the model throws
   */
  async *ask(question: string, options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<string, string, undefined> {
    if (typeof question !== 'string' || question.trim() === '') throw new ArgumentError('question', 'a text', shown(question));
    if (this.#busy) throw new Blip2Error('ERR_BUSY', 'the answer to the last question is still being written');
    this.#busy = true;
    try {
      const asked = question.trim();
      const prompt = await this.#prompt(asked);
      const { signal } = options;
      const writing = { ...this.#writing, prompt, maxNewTokens: this.#maxNewTokens, ...(signal === undefined ? {} : { signal }) };
      let answer = '';
      for await (const { text } of this.#model.streamCaption(this.#picture, writing)) {
        answer += text;
        yield text;
      }
      this.#turns.push({ question: asked, answer });
      return answer;
    } finally {
      this.#busy = false;
    }
  }

  /** The turns that fit and the question. */
  async #prompt(question: string): Promise<string> {
    const [before, between] = this.#parts;
    const room = this.#model.promptRoom(this.#maxNewTokens);
    const last = `${before}${question}${between.trimEnd()}`;
    for (let from = 0; ; from++) {
      const prompt = [...this.#turns.slice(from).map((turn) => this.#said(turn)), last].join(' ');
      const tokens = await this.#model.countTokens(prompt);
      if (tokens <= room) return prompt;
      if (from === this.#turns.length)
        throw new ArgumentError('question', `at most ${room} tokens with the picture's`, String(tokens));
    }
  }

  #said({ question, answer }: ChatTurn): string {
    const [before, between, after] = this.#parts;
    const end = after.trimEnd();
    return `${before}${question}${between}${end !== '' && answer.endsWith(end) ? answer.slice(0, -end.length) : answer}${after}`;
  }

  /** Lets the model forget the picture. */
  close(): void {
    this.#picture.dispose();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
