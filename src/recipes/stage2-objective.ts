import { languageKind } from '../models/blip2/language/kinds.ts';
import type { Blip2ForGenerativePretraining, LanguageModel } from '../models/index.ts';
import { anObject, checkArgument, having } from '../native/arguments.ts';
import { type PromptedText, type Stage2Batch, stage2Loss } from '../objectives/index.ts';
import type { Generator, Tensor } from '../tensor/index.ts';
import type { FrozenEncoder, Objective, StepLosses } from '../train/index.ts';
import { CAPTIONED, type CaptionedBatch, type CaptionTokenizer, featuresOf } from './captioned-batch.ts';
import type { Stage2Recipe } from './stage2.ts';
import { type CaptionTexts, captionTexts } from './stage2-captions.ts';

/** What a {@link Stage2Objective} works with. */
export interface Stage2Parts {
  /** What is trained. */
  readonly model: Blip2ForGenerativePretraining;
  /** Frozen, and in evaluation mode. */
  readonly languageModel: LanguageModel;
  /** The language model's. */
  readonly tokenizer: CaptionTokenizer;
  /** Null where batches come with features. */
  readonly encoder: FrozenEncoder | null;
  /** Draws where captions are divided; on the CPU. */
  readonly splits: Generator;
}

/** The second stage's loss of captioned pictures, for a `Trainer`. */
export class Stage2Objective implements Objective<CaptionedBatch, Stage2Batch> {
  readonly #recipe: Pick<Stage2Recipe, 'objective' | 'text' | 'languageModelDropout'>;
  readonly #parts: Stage2Parts;
  readonly #captions: CaptionTexts;
  readonly #texts = new WeakMap<CaptionedBatch, readonly PromptedText[]>();

  constructor(recipe: Pick<Stage2Recipe, 'objective' | 'text' | 'languageModelDropout'>, parts: Stage2Parts) {
    checkArgument('recipe', recipe, having('objective', 'text'));
    checkArgument('parts', parts, having('model', 'languageModel', 'tokenizer', 'splits'));
    const { decoderOnly } = languageKind(parts.languageModel.config.modelType);
    this.#recipe = recipe;
    this.#parts = parts;
    this.#captions = captionTexts(recipe.text, decoderOnly, parts.tokenizer, parts.splits);
  }

  size(batch: CaptionedBatch): number {
    checkArgument('batch', batch, CAPTIONED);
    return batch.captions.length;
  }

  /** Tokens that are to be written. */
  counts(batch: CaptionedBatch): Record<string, number> {
    return { lm: this.#textsOf(batch).reduce((sum, { target }) => sum + target.length, 0) };
  }

  prepare(batch: CaptionedBatch): Stage2Batch {
    const { encoder, model } = this.#parts;
    return { imageFeatures: featuresOf(batch, encoder, model.queryTokens.device), texts: this.#textsOf(batch) };
  }

  losses(batch: Stage2Batch, shares: Readonly<Record<string, number>>): StepLosses {
    checkArgument('batch', batch, having('imageFeatures', 'texts'));
    checkArgument('shares', shares, anObject);
    const { lm: weight = 1 } = shares;
    const { model, languageModel } = this.#parts;
    const { objective, languageModelDropout } = this.#recipe;
    const { labelSmoothing } = objective;
    // Only here: evaluations in between find it as it was.
    if (languageModelDropout) languageModel.train();
    try {
      const { loss, lm, statistics } = stage2Loss(model, languageModel, batch, { labelSmoothing, weight });
      return { loss, losses: { lm }, statistics: { ...statistics } satisfies Record<string, Tensor> };
    } finally {
      if (languageModelDropout) languageModel.eval();
    }
  }

  /** Token ids, made once a batch, on the host: the draws of a batch that is repeated are those of the first time. */
  #textsOf(batch: CaptionedBatch): readonly PromptedText[] {
    checkArgument('batch', batch, CAPTIONED);
    let texts = this.#texts.get(batch);
    if (texts === undefined) {
      texts = this.#captions.of(batch.captions);
      this.#texts.set(batch, texts);
    }
    return texts;
  }
}
