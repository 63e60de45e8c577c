// B pairs, L longest text.

import type { Blip2ForPretraining } from '../models/index.ts';
import { anObject, checkArgument, having } from '../native/arguments.ts';
import { type Stage1Batch, type Stage1Losses, stage1Loss } from '../objectives/index.ts';
import { fromTypedArray, type Generator, type Tensor } from '../tensor/index.ts';
import type { FrozenEncoder, Objective, StepLosses } from '../train/index.ts';
import { CAPTIONED, type CaptionedBatch, type CaptionTokenizer, featuresOf } from './captioned-batch.ts';
import type { Stage1Recipe } from './stage1.ts';

/** What a {@link Stage1Objective} works with. */
export interface Stage1Parts {
  /** What is trained. */
  readonly model: Blip2ForPretraining;
  /** BERT's. */
  readonly tokenizer: CaptionTokenizer;
  /** Null where batches come with features. */
  readonly encoder: FrozenEncoder | null;
  /** Draws the hard negatives. */
  readonly negatives: Generator;
}

interface Texts {
  readonly inputIds: readonly (readonly number[])[];
  readonly lengths: readonly number[];
}

/** The first stage's losses of captioned pictures, for a `Trainer`. */
export class Stage1Objective implements Objective<CaptionedBatch, Stage1Batch> {
  readonly #recipe: Pick<Stage1Recipe, 'objective' | 'text'>;
  readonly #parts: Stage1Parts;
  readonly #texts = new WeakMap<CaptionedBatch, Texts>();

  constructor(recipe: Pick<Stage1Recipe, 'objective' | 'text'>, parts: Stage1Parts) {
    checkArgument('recipe', recipe, having('objective', 'text'));
    checkArgument('parts', parts, having('model', 'tokenizer', 'negatives'));
    this.#recipe = recipe;
    this.#parts = parts;
  }

  size(batch: CaptionedBatch): number {
    checkArgument('batch', batch, CAPTIONED);
    return batch.captions.length;
  }

  /** Pairs for the contrast and for matching; for generation the tokens that are written. */
  counts(batch: CaptionedBatch): Record<string, number> {
    const { lengths } = this.#textsOf(batch);
    const pairs = lengths.length;
    return { itc: pairs, itm: pairs, itg: lengths.reduce((sum, length) => sum + length - 1, 0) };
  }

  prepare(batch: CaptionedBatch): Stage1Batch {
    const { encoder, model } = this.#parts;
    const { device } = model.queryTokens;
    const { inputIds, lengths } = this.#textsOf(batch);
    const ids = BigInt64Array.from(inputIds.flat(), BigInt);
    return {
      imageFeatures: featuresOf(batch, encoder, device),
      inputIds: fromTypedArray(ids, [lengths.length, inputIds[0]?.length ?? 0], { device }),
      lengths,
      ...(batch.imageIds === undefined ? {} : { imageIds: batch.imageIds.to({ device }) }),
    };
  }

  losses(batch: Stage1Batch, shares: Readonly<Record<string, number>>): StepLosses {
    const { model, negatives } = this.#parts;
    checkArgument('batch', batch, having('imageFeatures', 'inputIds'));
    checkArgument('shares', shares, anObject);
    const { weights, labelSmoothing, contrastGradient } = this.#recipe.objective;
    const { itc = 1, itm = 1, itg = 1 } = shares;
    const own = { itc: weights.itc * itc, itm: weights.itm * itm, itg: weights.itg * itg };
    const given = stage1Loss(model, batch, { weights: own, labelSmoothing, contrastGradient, generator: negatives });
    return { loss: given.loss, losses: present(given), statistics: given.statistics as Record<string, Tensor> };
  }

  /** Token ids, padded to the longest caption. Made once a batch, on the host. */
  #textsOf(batch: CaptionedBatch): Texts {
    checkArgument('batch', batch, CAPTIONED);
    let texts = this.#texts.get(batch);
    if (texts === undefined) {
      const { maxLength } = this.#recipe.text;
      const encoded = this.#parts.tokenizer.encode(batch.captions, { padding: 'longest', truncation: true, maxLength });
      const lengths = encoded.attentionMask.map((row) => row.reduce((sum, one) => sum + one, 0));
      texts = { inputIds: encoded.inputIds, lengths };
      this.#texts.set(batch, texts);
    }
    return texts;
  }
}

/** The losses that were not left out. */
function present({ itc, itm, itg }: Stage1Losses): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries({ itc, itm, itg }).flatMap(([name, loss]) => (loss === null ? [] : [[name, loss] as const])),
  );
}
