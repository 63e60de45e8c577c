// B pictures, N image tokens, W width of the picture's features, T targets of all texts.

import { linearCrossEntropy } from '../losses/index.ts';
import { languageKind } from '../models/blip2/language/kinds.ts';
import type { Blip2ForGenerativePretraining, LanguageModel } from '../models/index.ts';
import { anObject, checkArgument, having } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { full, scope, type Tensor, withoutAutocast } from '../tensor/index.ts';
import { predictNext } from './stage2-decoder-only.ts';
import { predictFromEncoder } from './stage2-encoder-decoder.ts';
import type { PromptedText } from './stage2-texts.ts';

/** Pictures, each with a text. */
export interface Stage2Batch {
  /** What the frozen encoder gave, before its last LayerNorm, `[B, N, W]`. */
  imageFeatures: Tensor;
  /** A text for each picture; the host knows their ids, and so their lengths. */
  texts: readonly PromptedText[];
}

/** How {@link stage2Loss} goes about it. */
export interface Stage2Options {
  /** ε of the targets (1 − ε)·y + ε/V; 0, as in the official code, unless told. */
  labelSmoothing?: number;
  /** Factor of the loss; 1 unless told. */
  weight?: number;
}

/** What can be read off a step beside its loss; numbers `[]` on the device, without gradients. */
export interface Stage2Statistics {
  /** Share of targets that the language model finds the likeliest. */
  lmAccuracy: Tensor;
  /** Targets of the batch. */
  tokens: Tensor;
}

/** What {@link stage2Loss} gives. */
export interface Stage2Losses {
  /** With its factor. */
  loss: Tensor;
  /** Mean cross-entropy of all targets. */
  lm: Tensor;
  /** What else can be read off. */
  statistics: Stage2Statistics;
}

/**
 * The loss of BLIP-2's second stage (§3.2): how well a frozen language model writes a text that it is to write about a picture, which it
 * reads as soft prompts. Decoder-only (OPT): language modelling of the text behind queries and prompt. Encoder-decoder (T5): prefix language
 * modelling, the prompt and the queries in the encoder, the rest from the decoder.
 *
 * Gradients go through the language model and not into it: where its parameters ask for none, none are computed, and nothing is kept that only
 * they would need. It runs in its own number format, also under autocast. Logits are made at targets alone, and of a chunk of them at a
 * time. Nothing waits for the device.
 *
 * @throws ArgumentError for texts, features and models that do not fit together
 */
export function stage2Loss(
  model: Blip2ForGenerativePretraining,
  languageModel: LanguageModel,
  batch: Stage2Batch,
  options: Stage2Options = {},
): Stage2Losses {
  checkArgument('model', model, having('qformer', 'queryTokens'));
  checkArgument('languageModel', languageModel, having('config'));
  checkArgument('batch', batch, having('imageFeatures', 'texts'));
  checkArgument('options', options, anObject);
  const { labelSmoothing = 0, weight = 1 } = options;
  check(batch, languageModel.config.vocabSize);
  const kind = languageKind(languageModel.config.modelType);
  return scope(() => {
    const visual = model.forward(batch.imageFeatures);
    const { device } = visual;
    return withoutAutocast(device, () => {
      const language = kind.language(languageModel);
      const predict = kind.decoderOnly ? predictNext : predictFromEncoder;
      const { hidden, targets } = predict(language, visual, batch.texts);
      const { loss, accuracy } = linearCrossEntropy(hidden, language.outputWeight, targets, {
        labelSmoothing,
        ignoreIndex: null,
      });
      const tokens = full([], targets.numel, { device });
      return { loss: weight === 1 ? loss : loss.mul(weight), lm: loss, statistics: { lmAccuracy: accuracy, tokens } };
    });
  });
}

/** What an accelerator would not say, or only much later. */
function check({ imageFeatures, texts }: Stage2Batch, words: number): void {
  if (imageFeatures.ndim !== 3) {
    throw new ArgumentError('imageFeatures', '[B, N, W]', `[${imageFeatures.shape.join(', ')}]`);
  }
  const count = imageFeatures.size(0);
  if (texts.length !== count) throw new ArgumentError('texts', `${count}, one a picture`, String(texts.length));
  for (const [i, { prompt, target }] of texts.entries()) {
    if (target.length === 0) throw new ArgumentError(`texts[${i}].target`, 'at least one token', 'none');
    const wrong = [...prompt, ...target].find((id) => !Number.isInteger(id) || id < 0 || id >= words);
    if (wrong !== undefined) throw new ArgumentError(`texts[${i}]`, `ids from 0 to ${words - 1}`, String(wrong));
  }
}
