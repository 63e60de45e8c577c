import { Blip2Processor } from '../data/index.ts';
import type { DecidedToken } from '../generate/index.ts';
import type { GenerateInputs } from '../models/blip2/generate.ts';
import { Blip2ForConditionalGeneration } from '../models/blip2/model.ts';
import type { TextPiece, TextRequest } from './blip2.ts';
import { loadOptions, type WorkerSettings } from './protocol.ts';
import { type CallContext, parts, type Service, toDevice } from './serve.ts';
import { TextStream } from './text-stream.ts';

/** Writes text about pictures with a generative checkpoint. */
export function generativeService(settings: WorkerSettings): Service {
  const { directory } = settings;
  const processor = Blip2Processor.fromPretrained(directory);
  const model = Blip2ForConditionalGeneration.fromPretrained(directory, loadOptions(settings));
  const { device } = model.languageProjection.weight;
  const { dtype } = model.visionModel.postLayernorm.weight ?? model.languageProjection.weight;

  /** Model inputs of some pictures and their prompts; the caller's to dispose of. */
  const prepare = async ({ images, prompts }: Pick<TextRequest, 'images' | 'prompts'>): Promise<Inputs> => {
    const text = prompts.filter((prompt) => prompt !== null);
    const made = await processor.preprocess(text.length > 0 ? { images, text } : { images });
    const [pixelValues, inputIds, attentionMask] = [
      toDevice(made.pixelValues, device, dtype),
      toDevice(made.inputIds, device),
      toDevice(made.attentionMask, device),
    ];
    if (pixelValues === undefined) throw new Error('pictures give pixels');
    return new Inputs({ pixelValues, inputIds, attentionMask });
  };

  /** Ids before the new ones: the prompt's, or the queries' and the first token's. */
  const promptLength = ({ inputIds }: GenerateInputs): number => inputIds?.size(1) ?? model.config.numQueryTokens + 1;

  const calls = {
    async write(request: TextRequest, { signal }: CallContext): Promise<string[]> {
      const texts: string[] = [];
      for (const { images, prompts } of batches(request)) {
        using inputs = await prepare({ images, prompts });
        const { sequences, sequencesScores } = await model.generate(inputs.tensors, { ...request.options, signal });
        const ids = sequences.toArray() as number[][];
        sequences.dispose();
        sequencesScores?.dispose();
        const start = promptLength(inputs.tensors);
        texts.push(
          ...processor.tokenizer.batchDecode(
            ids.map((row) => row.slice(start)),
            { skipSpecialTokens: true },
          ),
        );
      }
      return texts.map((text) => text.trim());
    },

    async stream(request: TextRequest, { signal, emit }: CallContext): Promise<void> {
      let first = 0;
      for (const { images, prompts } of batches(request)) {
        using inputs = await prepare({ images, prompts });
        const texts = images.map(() => new TextStream(processor.tokenizer));
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
        first += images.length;
      }
    },
  };
  return { calls, dispose: () => model.dispose() };
}

/** Tensors that go together. */
class Inputs {
  readonly tensors: GenerateInputs;

  constructor(tensors: GenerateInputs) {
    this.tensors = tensors;
  }

  [Symbol.dispose](): void {
    const { pixelValues, inputIds, attentionMask } = this.tensors;
    for (const tensor of [pixelValues, inputIds, attentionMask]) tensor?.dispose();
  }
}

function* batches({ images, prompts, batchSize }: TextRequest): Generator<Pick<TextRequest, 'images' | 'prompts'>> {
  const texts = [...parts(prompts, batchSize)];
  for (const [i, part] of [...parts(images, batchSize)].entries()) yield { images: part, prompts: texts[i] ?? [] };
}
