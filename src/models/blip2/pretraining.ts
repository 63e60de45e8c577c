// B pictures, Q queries a picture, N image tokens, W width of the picture's features, D width of the Q-Former, E of the features compared.

import type { Generated, GenerateOptions } from '../../generate/index.ts';
import { anObject, checkArgument, having } from '../../native/arguments.ts';
import { initNormal, LayerNorm, Linear, Module, type Parameter, parameter } from '../../nn/index.ts';
import { scope, type Tensor } from '../../tensor/index.ts';
import type { LoadOptions } from '../checkpoint.ts';
import { QFormerEmbeddings } from '../qformer/embeddings.ts';
import { QFormerLmHead } from '../qformer/lm-head.ts';
import { type CrossKeyValues, QFormerModel } from '../qformer/model.ts';
import { type CaptionInputs, generateCaptions } from './captions.ts';
import { imageKeyValues } from './image-key-values.ts';
import { imageFeatures, type MatchImages, type MatchOptions, matchingLogits, textFeatures } from './matching.ts';
import type { PretrainingConfig } from './pretraining-config.ts';
import { loadPretraining, type SavePretrainingOptions, savePretraining } from './pretraining-files.ts';

/**
 * What BLIP-2's first stage trains (§3.1): the Q-Former with its queries, words and heads, and the LayerNorm over the frozen encoder's
 * features. Parameters are named as in Hugging Face's `Blip2ForImageTextRetrieval`; what that has not is named `ln_vision` (there
 * `vision_model.post_layernorm`), `temp` and `cls` as in LAVIS.
 */
export class Blip2ForPretraining extends Module {
  /** Over the frozen encoder's features; absent where they come normalised. */
  readonly lnVision?: LayerNorm;
  /** The learned queries, `[1, Q, D]`. */
  readonly queryTokens: Parameter;
  /** Words and positions of text, `[B, L]` → `[B, L, D]`. */
  readonly embeddings: QFormerEmbeddings;
  /** Serves all three losses; only the mask differs. */
  readonly qformer: QFormerModel;
  /** Queries to the features compared, D → E. */
  readonly visionProjection: Linear;
  /** A text's first token to the features compared, D → E. */
  readonly textProjection: Linear;
  /** Two classes for each query, D → 2; class 1 is "match". */
  readonly itmHead: Linear;
  /** The head that writes text; its output table is the embedding of words. */
  readonly cls: QFormerLmHead;
  /** The contrast's temperature, `[]`. */
  readonly temp: Parameter;
  readonly #config: PretrainingConfig;

  constructor(config: PretrainingConfig) {
    super();
    checkArgument('config', config, having('qformerConfig'));
    const { qformerConfig, imageTextHiddenSize, visionLayerNormEps } = config;
    const { hiddenSize, encoderHiddenSize } = qformerConfig;
    const init = initNormal(config.initializerRange);
    if (visionLayerNormEps !== null) this.lnVision = new LayerNorm(encoderHiddenSize, { eps: visionLayerNormEps });
    this.queryTokens = parameter([1, config.numQueryTokens, hiddenSize], init);
    this.embeddings = new QFormerEmbeddings(qformerConfig);
    this.qformer = new QFormerModel(qformerConfig);
    this.visionProjection = new Linear(hiddenSize, imageTextHiddenSize, { init });
    this.textProjection = new Linear(hiddenSize, imageTextHiddenSize, { init });
    this.itmHead = new Linear(hiddenSize, 2, { init });
    this.cls = new QFormerLmHead(qformerConfig);
    this.temp = parameter([], (temp) => void temp.fill_(config.initialTemperature));
    this.#config = config;
  }

  /** What it was built from. */
  get config(): PretrainingConfig {
    return this.#config;
  }

  /**
   * Reads a folder of {@link savePretrained}. The frozen tower in it is for `loadVisionTower`. The model is in evaluation mode.
   * @throws FileError for a file that is missing or not as expected; StateDictError where weights and configuration do not fit
   */
  static fromPretrained(directory: string, options: LoadOptions = {}): Blip2ForPretraining {
    return loadPretraining(directory, options, (config) => new Blip2ForPretraining(config));
  }

  /**
   * Writes the model with its frozen tower as Hugging Face's `Blip2ForImageTextRetrieval` reads it. The temperature, the language-model head and the
   * configuration of the first stage, for which that has no place, are in `pretraining.safetensors` and `pretraining.json`, which it ignores
   * and {@link fromPretrained} reads.
   *
   * Hugging Face's model has one eps for all of the tower's LayerNorms, the last of which is the one over the features here: where they
   * differ (1e-5 and 1e-6 by default), so do its results, a little.
   *
   * @throws ArgumentError for a tower that is not EVA-CLIP's or of another width; FileError where the folder cannot be written, and what was
   *   there is then still whole; a process that is killed leaves the old model, the new one, or a folder without config.json, which nothing reads
   */
  savePretrained(directory: string, options: SavePretrainingOptions): void {
    savePretraining(this, directory, options);
  }

  /**
   * The queries' normalised features `[B, Q, E]` of pictures, and their frozen encoder's features `[B, N, W]`, as they were given: what
   * {@link match} takes.
   */
  encodeImages(features: Tensor): { imageEmbeds: Tensor; lastHiddenState: Tensor } {
    return scope(() => ({
      imageEmbeds: imageFeatures(this, this.imageKeyValues(features)),
      lastHiddenState: features.alias(),
    }));
  }

  /**
   * Normalised features of texts' tokens `[T, L, E]`, and the Q-Former's output `[T, L, D]`. The feature of a text is that of its first
   * token, the only one with `classOnly`.
   * @param inputIds `[T, L]` int64: `[CLS]`, text, `[SEP]`
   * @param attentionMask of the same shape, 0 at padding; none where there is none
   */
  encodeTexts(
    inputIds: Tensor,
    attentionMask?: Tensor,
    options: { classOnly?: boolean } = {},
  ): { textEmbeds: Tensor; lastHiddenState: Tensor } {
    return scope(() => textFeatures(this, inputIds, attentionMask, options));
  }

  /**
   * The matching head's logits `[T, 2]` of pairs, index 1 for "match".
   * @param images one picture for each text, or pictures that several texts share; keys and values ({@link imageKeyValues}) where the
   * same are matched several times
   * @param inputIds `[T, L]`, as for {@link encodeTexts}
   * @throws ArgumentError where pictures and texts are not as many
   */
  match(images: MatchImages, inputIds: Tensor, attentionMask?: Tensor, options: MatchOptions = {}): Tensor {
    checkArgument('images', images, anObject);
    return scope(() => {
      if ('sharedPictures' in images) return matchingLogits(this, images.sharedPictures, inputIds, attentionMask, options);
      const keyValues = 'imageFeatures' in images ? this.imageKeyValues(images.imageFeatures) : images.imageKeyValues;
      return matchingLogits(this, [{ keyValues, share: 1 }], inputIds, attentionMask, options);
    });
  }

  /**
   * Writes captions, as image-grounded text generation has learned to: `[DEC]`, then tokens up to `[SEP]`. By default as LAVIS does
   * it: 3 beams, 10 to 30 tokens with `[DEC]` and `[SEP]` counted. Sampling has no beams unless told.
   * @returns ids `[B·numReturnSequences, L]` that begin with `[DEC]`; a tokenizer that skips special tokens makes text of them
   * @throws ArgumentError that names the wrong input or option; the signal's reason once that is aborted
   */
  async generate(inputs: CaptionInputs, options: GenerateOptions = {}): Promise<Generated> {
    return generateCaptions(this, inputs, options);
  }

  /** Keys and values of every cross-attention from the frozen encoder's features `[B, N, W]`, for all passes over these pictures. */
  imageKeyValues(features: Tensor): CrossKeyValues {
    return imageKeyValues(this, features);
  }
}
