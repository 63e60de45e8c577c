import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkArgument, having } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { inferenceMode, scope, type Tensor } from '../tensor/index.ts';
import { BeamSearch, candidates } from './beam.ts';
import type { Decodable } from './decodable.ts';
import type { DecidedToken, Decoder, Generated } from './decoder.ts';
import { type GenerateOptions, resolveOptions, type Settings } from './options.ts';
import type { PromptIds } from './processing.ts';
import { Sampler } from './sample.ts';

/** The ids that stand for the prompt in the result; penalties and lengths count them. */
export interface Prompt {
  /** `[B, P]` int64. */
  readonly inputIds: Tensor;
}

/**
 * Decodes by the options: greedily, by sampling, by beam search or by beam sampling; the token ids are those of Hugging Face's `generate`.
 * Every step is freed before the event loop gets its turn. The model is used up: its caches are freed in any case.
 *
 * @throws ArgumentError that names the wrong option; the signal's reason once that is aborted
 * @example const { sequences } = await generate(model, { inputIds }, { numBeams: 5, maxNewTokens: 30, eosTokenId: 50118 });
 */
export async function generate(model: Decodable, prompt: Prompt, options: GenerateOptions = {}): Promise<Generated> {
  checkArgument('model', model, DECODABLE);
  checkArgument('prompt', prompt, having('inputIds'));
  const steps = decode(model, prompt, options, false);
  for (;;) {
    const { done, value } = await steps.next();
    if (done) return value;
  }
}

/**
 * The same, token by token: yields, each step, what it decided for the rows that had not ended (their end tokens too), and returns what
 * {@link generate} gives. Not for beams, where only the end shows which ones stay. Leaving the loop early frees everything.
 *
 * @example for await (const tokens of streamTokens(model, { inputIds })) for (const { row, token } of tokens) show(row, token);
 */
export function streamTokens(
  model: Decodable,
  prompt: Prompt,
  options: GenerateOptions = {},
): AsyncGenerator<readonly DecidedToken[], Generated, void> {
  checkArgument('model', model, DECODABLE);
  checkArgument('prompt', prompt, having('inputIds'));
  return decode(model, prompt, options, true);
}

const DECODABLE = having('batch', 'room', 'prefill', 'step', 'dispose');

async function* decode(
  model: Decodable,
  prompt: Prompt,
  options: GenerateOptions,
  streaming: boolean,
): AsyncGenerator<readonly DecidedToken[], Generated, void> {
  let decoding: Decoding | null = null;
  try {
    const { batch, length } = shapeOf(prompt, model);
    const settings = resolveOptions(options, { batch, length, room: model.room });
    if (streaming && settings.numBeams > 1) {
      throw new ArgumentError('numBeams', '1 where tokens are streamed', String(settings.numBeams));
    }
    decoding = new Decoding(model, prompt, settings);
    for (;;) {
      settings.signal?.throwIfAborted();
      const more = decoding.step();
      if (streaming) yield decoding.decoder.decided();
      if (!more) return decoding.decoder.finish();
      await nextTurn();
    }
  } finally {
    decoding?.dispose();
    model.dispose();
  }
}

/** A model and the decoder that it feeds, which exists once the prompt's logits tell vocabulary and device. */
class Decoding {
  readonly #model: Decodable;
  readonly #prompt: Prompt;
  readonly #settings: Settings;
  #decoder: Decoder | null = null;

  constructor(model: Decodable, prompt: Prompt, settings: Settings) {
    this.#model = model;
    this.#prompt = prompt;
    this.#settings = settings;
  }

  get decoder(): Decoder {
    return this.#decoder as Decoder;
  }

  /** One step; false after the last. Inference mode belongs to the thread, so it ends with the step, before any await. */
  step(): boolean {
    return inferenceMode(() => scope(() => this.#advance()));
  }

  #advance(): boolean {
    if (this.#decoder !== null) return this.#decoder.advance(this.#model.step(this.#decoder.tokens, this.#decoder.parents));
    const { maxLength, numBeams, numReturnSequences, promptLength } = this.#settings;
    const width = Math.max(numBeams, numReturnSequences);
    const logits = this.#model.prefill(width, maxLength - promptLength - 1);
    this.#decoder = decoderOf(this.#settings, this.#prompt, logits);
    return this.#decoder.advance(logits.unsqueeze(1).expand(-1, width, -1));
  }

  dispose(): void {
    this.#decoder?.dispose();
  }
}

function decoderOf(settings: Settings, { inputIds }: Prompt, logits: Tensor): Decoder {
  const vocabulary = logits.size(1);
  const ids: PromptIds = {
    batch: inputIds.size(0),
    length: inputIds.size(1),
    ids: inputIds.data() as BigInt64Array,
    device: logits.device,
  };
  if (settings.numBeams === 1) return new Sampler(settings, ids, vocabulary);
  if (candidates(settings) > settings.numBeams * vocabulary) {
    const { length } = settings.eosTokenIds;
    throw new ArgumentError('eosTokenId', `fewer ends than the ${vocabulary} tokens of the vocabulary`, String(length));
  }
  return new BeamSearch(settings, ids, vocabulary);
}

function shapeOf({ inputIds }: Prompt, model: Decodable): { batch: number; length: number } {
  const [batch, length] = inputIds.shape;
  if (inputIds.dtype !== 'int64' || inputIds.ndim !== 2 || batch !== model.batch) {
    const received = `${inputIds.dtype} [${inputIds.shape.join(', ')}]`;
    throw new ArgumentError('inputIds', `int64 ids [${model.batch}, P], a row a prompt`, received);
  }
  return { batch, length: length as number };
}
