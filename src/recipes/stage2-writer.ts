import type { Tokenizer } from '../data/index.ts';
import { type Blip2ForGenerativePretraining, type LanguageModel, parseVisionConfig, VisionModel } from '../models/index.ts';
import { checkArgument, having } from '../native/arguments.ts';
import { building } from '../nn/index.ts';
import { Blip2 as Facade } from '../pipeline/blip2.ts';
import { LocalModel } from '../pipeline/calls.ts';
import { generativeServiceOf } from '../pipeline/generative-service.ts';
import type { Blip2, CaptionOptions } from '../pipeline/index.ts';
import { leastCaption } from '../tasks/caption.ts';
import { inferenceMode, scope, type Tensor } from '../tensor/index.ts';
import type { FrozenEncoder } from '../train/index.ts';
import type { WriteCaptions } from './caption-evaluation.ts';
import { featuresOf } from './captioned-batch.ts';
import { assembleStage2 } from './export-stage2.ts';
import type { Stage2Recipe } from './stage2.ts';

/** What a {@link stage2Writer} writes with. */
export interface Stage2WriterParts {
  /** What is trained. */
  readonly model: Blip2ForGenerativePretraining;
  /** The frozen one. */
  readonly languageModel: LanguageModel;
  /** The language model's. */
  readonly tokenizer: Tokenizer;
  /** The frozen tower. */
  readonly encoder: FrozenEncoder;
}

/** A BLIP-2 of the parts that are in training: what changes in them changes in it. */
export interface Stage2Writer {
  /** Writes and answers, in the calling thread; evaluations of captions and questions, and `Chat`, take it as they take any other. */
  readonly model: Blip2;
  /** Captions of pictures as they come in batches. As the authors evaluate on COCO, 5 beams and 8 (T5: 7) to 30 tokens unless told. */
  captions(options?: Omit<CaptionOptions, 'signal' | 'batchSize'>): WriteCaptions;
  /** Lets go of what it made; the parts stay. */
  dispose(): Promise<void>;
}

/**
 * Lets the parts of a second stage write while they are trained. Call it in evaluation mode only, as trainers put the model for evaluations.
 * @throws ArgumentError where the tokenizer leaves no word of the language model for `<image>`
 */
export function stage2Writer(recipe: Pick<Stage2Recipe, 'image' | 'text'>, parts: Stage2WriterParts): Stage2Writer {
  checkArgument('recipe', recipe, having('image', 'text'));
  checkArgument('parts', parts, having('model', 'languageModel', 'tokenizer', 'encoder'));
  const { model: trained, languageModel, tokenizer, encoder } = parts;
  checkArgument('model', trained, having('config', 'queryTokens', 'forward'));
  checkArgument('languageModel', languageModel, having('config', 'namedParameters'));
  checkArgument('tokenizer', tokenizer, having('encode', 'withSpecialToken'));
  const { device } = trained.queryTokens;
  // Pictures come as queries, so that any tower will do, and none is in the model.
  const hiddenSize = trained.config.qformerConfig.encoderHiddenSize;
  const shape = { ...parseVisionConfig({}), hiddenSize, numHiddenLayers: 1, numAttentionHeads: 1 };
  const visionModel = building({ device: 'meta' }, () => new VisionModel(shape));
  const { model: whole, processor } = assembleStage2({ recipe, trained, visionModel, languageModel, tokenizer });
  const queries = (features: Tensor): Tensor => trained.forward(features);
  const queriesOf = (pixelValues: Tensor): Tensor => queries(encoder.encode(pixelValues));
  const model = Facade.over(new LocalModel(generativeServiceOf({ model: whole, processor, device, queriesOf })));
  return {
    model,
    captions(options = {}) {
      const { prompt = recipe.text.prompt || 'a photo of', ...rest } = options;
      return async ({ pixelValues, imageFeatures, allCaptions }, signal) => {
        const batch = { captions: [], ...(pixelValues && { pixelValues }), ...(imageFeatures && { imageFeatures }) };
        using encoded = inferenceMode(() => scope(() => queries(featuresOf(batch, encoder, device))));
        const held = await model.hold(encoded);
        try {
          // A small language model may not have room for the usual 30 tokens.
          const room = model.promptRoom(1) + 1 - (await model.countTokens(prompt));
          const lengths = { minNewTokens: Math.min(leastCaption(model.languageModel), room), maxNewTokens: Math.min(30, room) };
          return await model.caption(held, { prompt, numBeams: 5, ...lengths, batchSize: allCaptions.length, ...rest, signal });
        } finally {
          for (const picture of held) picture.dispose();
        }
      };
    },
    dispose: () => model.close(),
  };
}
