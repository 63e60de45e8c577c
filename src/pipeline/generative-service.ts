import { Blip2Processor, type ImageSource } from '../data/index.ts';
import type { DecidedToken } from '../generate/index.ts';
import type { GenerateInputs } from '../models/blip2/generate.ts';
import { languageKind } from '../models/blip2/language/kinds.ts';
import { Blip2ForConditionalGeneration } from '../models/blip2/model.ts';
import { ArgumentError } from '../native/errors.ts';
import { type Device, inferenceMode, keep, scope, stack, type Tensor } from '../tensor/index.ts';
import type { TextPiece } from './blip2.ts';
import { type HeldImage, isHeld, type SentImage } from './encoded-image.ts';
import { type GenerativeFacts, loadOptions, type WorkerSettings } from './protocol.ts';
import type { EncodeRequest, RankRequest, TextRequest } from './requests.ts';
import { type CallContext, type Service, toDevice, turn } from './serve.ts';
import { TextStream } from './text-stream.ts';

/** What text about pictures is written with. */
export interface GenerativeParts {
  readonly model: Pick<Blip2ForConditionalGeneration, 'config' | 'generate' | 'stream' | 'score' | 'dispose'>;
  readonly processor: Blip2Processor;
  readonly device: Device;
  /** Normalised pictures `[B, 3, S, S]` on the CPU → the queries as the language model reads them `[B, Q, E]`. */
  queriesOf(pixelValues: Tensor): Tensor;
}

type Pictures = Pick<TextRequest, 'images' | 'names'>;
type Batch = Pick<TextRequest, 'images' | 'names' | 'prompts'>;

/** Writes text about pictures with a generative checkpoint. */
export function generativeService(settings: WorkerSettings): Service {
  const { directory } = settings;
  const processor = Blip2Processor.fromPretrained(directory);
  const model = Blip2ForConditionalGeneration.fromPretrained(directory, loadOptions(settings));
  const { device } = model.languageProjection.weight;
  const { dtype } = model.visionModel.postLayernorm.weight ?? model.languageProjection.weight;
  const queriesOf = (pixelValues: Tensor): Tensor => model.encodeImages(pixelValues.to({ device, dtype }));
  return generativeServiceOf({ model, processor, device, queriesOf });
}

/** The same with a model that is there already. */
export function generativeServiceOf({ model, processor, device, queriesOf }: GenerativeParts): Service {
  const { tokenizer } = processor;
  const { textConfig, numQueryTokens } = model.config;
  const { decoderOnly, positions } = languageKind(textConfig.modelType);
  const held = new HeldImages();

  /** The queries of pictures as the language model reads them, `[B, Q, E]`; one that comes several times is encoded once. The caller's. */
  const encode = async ({ images, names }: Pictures): Promise<Tensor> => {
    const sources = [...new Set(images.filter((image): image is ImageSource => !isHeld(image)))];
    const called = sources.map((source) => names[images.indexOf(source)] ?? undefined);
    using pixels = sources.length === 0 ? undefined : await processor.imageProcessor.preprocessNamed(sources, called);
    return inferenceMode(() =>
      scope(() => {
        const queries = pixels && queriesOf(pixels);
        const row = (image: SentImage): Tensor =>
          isHeld(image) ? held.get(image) : (queries as Tensor).select(0, sources.indexOf(image));
        return stack(images.map(row));
      }),
    );
  };

  /** Model inputs of some pictures and their prompts; the caller's to dispose of. */
  const prepare = async ({ prompts, ...pictures }: Batch): Promise<Inputs> => {
    // An encoder reads something in any case; a decoder goes on from its first token.
    const texts = decoderOnly && prompts.includes(null) ? undefined : prompts.map((prompt) => prompt ?? '');
    const ids = texts && processor.encode(texts, true, { padding: 'longest', paddingSide: decoderOnly ? 'left' : 'right' });
    const languageModelInputs = await encode(pictures);
    if (ids === undefined) return new Inputs({ languageModelInputs });
    const { inputIds, attentionMask } = ids.toTensors();
    return new Inputs({
      languageModelInputs,
      inputIds: toDevice(inputIds, device),
      attentionMask: toDevice(attentionMask, device),
    });
  };

  /** Ids before the new ones: the prompt's, or the queries' and the first token's; a decoder of its own has its start token. */
  const promptLength = ({ inputIds }: GenerateInputs): number => (decoderOnly ? (inputIds?.size(1) ?? numQueryTokens + 1) : 1);

  /** The tokens of an answer and what ends it, as they would follow the prompt. */
  const answerIds = (answer: string): number[] => {
    // After a prompt that ends in a word a new one begins; a decoder of its own begins with one.
    const text = decoderOnly ? ` ${answer.trim()}` : answer.trim();
    const [ids] = tokenizer.encode([text], { addSpecialTokens: false }).inputIds;
    const end = [textConfig.eosTokenId].flat()[0];
    return end === undefined ? [...(ids as number[])] : [...(ids as number[]), end];
  };

  const calls = {
    async write(request: TextRequest, { signal }: CallContext): Promise<string[]> {
      const texts: string[] = [];
      for (const batch of batches(request)) {
        using inputs = await prepare(batch);
        const { sequences, sequencesScores } = await model.generate(inputs.tensors, { ...request.options, signal });
        const ids = sequences.toArray() as number[][];
        sequences.dispose();
        sequencesScores?.dispose();
        const start = promptLength(inputs.tensors);
        texts.push(
          ...tokenizer.batchDecode(
            ids.map((row) => row.slice(start)),
            { skipSpecialTokens: true },
          ),
        );
      }
      return texts.map((text) => text.trim());
    },

    async stream(request: TextRequest, { signal, emit }: CallContext): Promise<void> {
      let first = 0;
      for (const batch of batches(request)) {
        using inputs = await prepare(batch);
        const texts = batch.images.map(() => new TextStream(tokenizer));
        const steps = model.stream(inputs.tensors, { ...request.options, signal });
        for (;;) {
          const step = await steps.next();
          if (step.done) {
            step.value.sequences.dispose();
            break;
          }
          for (const { row, token } of step.value as readonly DecidedToken[]) {
            const text = (texts[row] as TextStream).push(token);
            if (text !== '') emit({ index: first + row, text } satisfies TextPiece);
          }
        }
        for (const [row, text] of texts.entries()) {
          const rest = text.end();
          if (rest !== '') emit({ index: first + row, text: rest } satisfies TextPiece);
        }
        first += batch.images.length;
      }
    },

    /** Log-likelihoods of each picture's answers. */
    async rank({ answers, ...request }: RankRequest, { signal }: CallContext): Promise<number[][]> {
      const scores: number[][] = [];
      // Lists that are the same are tokenised once.
      const ids = new Map([...new Set(answers)].map((list) => [list, list.map(answerIds)]));
      const unknown = tokenizer.specialId('unk');
      for (const [list, tokens] of ids) if (unknown !== undefined) checkApart(list, tokens, unknown);
      for (const batch of batches(request)) {
        using inputs = await prepare(batch);
        const lists = answers.slice(scores.length, scores.length + batch.images.length);
        const continuations = lists.map((list) => ids.get(list) as number[][]);
        scores.push(...(await model.score(inputs.tensors, continuations, { signal })));
      }
      return scores;
    },

    /** Holds pictures from then on, also those before one that fails; who asks releases them. */
    async encode({ images, names, batchSize, ids }: EncodeRequest, { signal }: CallContext): Promise<void> {
      for (let from = 0; from < images.length; from += batchSize) {
        const to = from + batchSize;
        using queries = await encode({ images: images.slice(from, to), names: names.slice(from, to) });
        held.add(queries, ids.slice(from, to));
        await turn(signal);
      }
    },

    /** The same of queries `[B, Q, E]` that are there already. */
    async hold({ queries, ids }: { queries: Tensor; ids: readonly number[] }): Promise<void> {
      held.add(queries, ids);
    },

    async release(id: number): Promise<void> {
      held.release(id);
    },

    async countTokens(prompt: string): Promise<number> {
      return (processor.encode([prompt], true).inputIds[0] as readonly number[]).length;
    },
  };

  const limit = tokenizer.config.raw('model_max_length');
  const facts: GenerativeFacts = {
    languageModel: textConfig.modelType,
    positions: positions(textConfig),
    maxPromptLength: typeof limit === 'number' && Number.isSafeInteger(limit) ? limit + numQueryTokens : null,
  };
  const dispose = (): void => {
    held.dispose();
    model.dispose();
  };
  return { calls, facts, dispose };
}

/** Pictures that were encoded for several calls, `[Q, E]` each. */
class HeldImages {
  readonly #queries = new Map<number, Tensor>();

  /** Keeps the rows of `[B, Q, E]` under their numbers. */
  add(queries: Tensor, ids: readonly number[]): void {
    inferenceMode(() =>
      scope(() => {
        for (const [i, row] of queries.unbind(0).entries()) this.#queries.set(ids[i] as number, keep(row.clone()));
      }),
    );
  }

  get({ held }: HeldImage): Tensor {
    const queries = this.#queries.get(held);
    if (queries === undefined) throw new Error(`picture ${held} is not held`);
    return queries;
  }

  release(id: number): void {
    this.#queries.get(id)?.dispose();
    this.#queries.delete(id);
  }

  dispose(): void {
    for (const id of [...this.#queries.keys()]) this.release(id);
  }
}

/** Tensors that go together. */
class Inputs {
  readonly tensors: GenerateInputs;

  constructor(tensors: GenerateInputs) {
    this.tensors = tensors;
  }

  [Symbol.dispose](): void {
    const { languageModelInputs, inputIds, attentionMask } = this.tensors;
    for (const tensor of [languageModelInputs, inputIds, attentionMask]) tensor?.dispose();
  }
}

function* batches({ images, names, prompts, batchSize }: Batch & { batchSize: number }): Generator<Batch> {
  for (let from = 0; from < images.length; from += batchSize) {
    const to = from + batchSize;
    yield { images: images.slice(from, to), names: names.slice(from, to), prompts: prompts.slice(from, to) };
  }
}

/**
 * Answers that differ in words alone that the tokenizer does not know would come out as equally likely, whatever the picture.
 * @param ids tokens of each
 * @throws ArgumentError naming two such
 */
function checkApart(answers: readonly string[], ids: readonly (readonly number[])[], unknown: number): void {
  const seen = new Map<string, string>();
  for (const [i, given] of answers.entries()) {
    const tokens = ids[i] as readonly number[];
    if (!tokens.includes(unknown)) continue;
    const answer = given.trim();
    const other = seen.get(tokens.join()) ?? answer;
    if (other !== answer) {
      const both = `${JSON.stringify(other)} and ${JSON.stringify(answer)}`;
      throw new ArgumentError('answers', 'answers that differ in words which the tokenizer knows', both);
    }
    seen.set(tokens.join(), answer);
  }
}
