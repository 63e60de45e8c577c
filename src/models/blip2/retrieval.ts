// B pictures, T texts, Q queries a picture, N image tokens, L length of a text, D width of the Q-Former, E of the features compared.
import { checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { initNormal, Linear, Module, type Parameter, parameter } from '../../nn/index.ts';
import { checkObject } from '../../tensor/check.ts';
import { scope, type Tensor } from '../../tensor/index.ts';
import { type LoadOptions, loadPretrained, type SavePretrainedOptions, saveCheckpoint } from '../checkpoint.ts';
import { QFormerEmbeddings } from '../qformer/embeddings.ts';
import { matchingMask } from '../qformer/masks.ts';
import { type CrossKeyValues, QFormerModel } from '../qformer/model.ts';
import { VisionModel } from '../vision/eva/model.ts';
import { type Blip2Config, blip2ConfigToJson, parseBlip2Config } from './config.ts';
import { checkIds, checkInputs, checkMask, type InputNames } from './inputs.ts';
import { imageFeatures, type MatchImages, type MatchOptions, matchingLogits, textFeatures } from './matching.ts';
import { retrievalRules } from './weights.ts';

/** What {@link Blip2ForImageTextRetrieval.forward} works on. */
export interface RetrievalInputs {
  /** Normalised pictures `[B, 3, H, W]`. */
  pixelValues: Tensor;
  /** `[T, L]`; where the configuration has an `imageTokenIndex`, `[T, Q + L]` with Q image tokens in front. For matching, T = B. */
  inputIds: Tensor;
  /** Of the shape of `inputIds`, 0 at padding; none where there is none. */
  attentionMask?: Tensor | undefined;
  /** Scores pairs by the matching head (ITM) instead of all combinations by cosine similarity (ITC). */
  useImageTextMatchingHead?: boolean | undefined;
}

const INPUTS: InputNames<RetrievalInputs> = {
  pixelValues: true,
  inputIds: true,
  attentionMask: true,
  useImageTextMatchingHead: false,
};

/** What it gives. */
export interface RetrievalOutput {
  /** ITM: `[B, 2]`, raw, index 1 for "match". ITC: `[B, T]`, the greatest cosine of any query, without temperature. */
  logitsPerImage: Tensor;
  /** Its transpose. */
  logitsPerText: Tensor;
  /** ITM: the vision tower's features `[B, N, vision width]`. ITC: the queries' normalised features `[B, Q, E]`. */
  imageEmbeds: Tensor;
  /** ITM: the Q-Former's output `[B, Q + L, D]`. ITC: the texts' normalised features `[T, E]`. */
  textEmbeds: Tensor;
}

/**
 * BLIP-2 that compares pictures and text (§3.1: image-text contrast and matching). A state dict is a Hugging Face checkpoint of the class
 * of the same name.
 */
export class Blip2ForImageTextRetrieval extends Module {
  /** The frozen tower. */
  readonly visionModel: VisionModel;
  /** The learned queries, `[1, Q, D]`. */
  readonly queryTokens: Parameter;
  /** Words and positions of text, `[B, L]` → `[B, L, D]`. */
  readonly embeddings: QFormerEmbeddings;
  /** Serves contrast and matching; only the mask differs. */
  readonly qformer: QFormerModel;
  /** Queries to the features compared, D → E. */
  readonly visionProjection: Linear;
  /** A text's first token to the features compared, D → E. */
  readonly textProjection: Linear;
  /** Queries to "no match" and "match", D → 2. */
  readonly itmHead: Linear;
  readonly #config: Blip2Config;

  /** @throws ArgumentError for a Q-Former without text input */
  constructor(config: Blip2Config) {
    super();
    checkArgument('config', config, having('visionConfig', 'qformerConfig', 'textConfig'));
    const { qformerConfig, imageTextHiddenSize } = config;
    const { hiddenSize } = qformerConfig;
    if (!qformerConfig.useQformerTextInput) throw new ArgumentError('qformer_config.use_qformer_text_input', 'true', 'false');
    const init = initNormal(config.initializerRange);
    this.visionModel = new VisionModel(config.visionConfig);
    this.queryTokens = parameter([1, config.numQueryTokens, hiddenSize], init);
    this.embeddings = new QFormerEmbeddings(qformerConfig);
    this.qformer = new QFormerModel(qformerConfig);
    this.visionProjection = new Linear(hiddenSize, imageTextHiddenSize, { init });
    this.textProjection = new Linear(hiddenSize, imageTextHiddenSize, { init });
    this.itmHead = new Linear(hiddenSize, 2, { init });
    this.#config = config;
  }

  /** Its shape. */
  get config(): Blip2Config {
    return this.#config;
  }

  /**
   * Reads a folder as Hugging Face's `save_pretrained` or the hub has it. The weights go straight into the wanted dtype and onto the
   * device. The model is in evaluation mode.
   * @throws FileError for a file that is missing or not as expected; StateDictError where weights and configuration do not fit
   */
  static fromPretrained(directory: string, options: LoadOptions = {}): Blip2ForImageTextRetrieval {
    return loadPretrained(directory, options, {
      parse: parseBlip2Config,
      build: (config) => new Blip2ForImageTextRetrieval(config),
      rules: () => retrievalRules,
    });
  }

  /**
   * Writes config.json and the weights, as Hugging Face reads them.
   * @throws FileError where the folder cannot be written; what was there is then still whole. A process that is killed leaves the old model, the new one,
   *   or a folder without config.json, which nothing reads
   */
  savePretrained(directory: string, options: SavePretrainedOptions = {}): void {
    const architecture = { architectures: ['Blip2ForImageTextRetrieval'], dtype: this.itmHead.weight.dtype };
    saveCheckpoint(this, directory, { 'config.json': { ...architecture, ...blip2ConfigToJson(this.#config) } }, options);
  }

  /** Hugging Face's forward: contrast of all pictures and texts, or matching of pairs. */
  forward(inputs: RetrievalInputs): RetrievalOutput {
    checkInputs(inputs, INPUTS);
    checkIds('inputIds', inputs.inputIds);
    checkMask('attentionMask', inputs.attentionMask, inputs.inputIds);
    const { pixelValues, inputIds, attentionMask } = this.#withoutImageTokens(inputs);
    return scope(() => {
      if (inputs.useImageTextMatchingHead) {
        const { lastHiddenState: imageEmbeds } = this.visionModel.forward(pixelValues);
        const { logits, hidden } = this.#matched(imageEmbeds, inputIds, attentionMask);
        return { logitsPerImage: logits, logitsPerText: logits.transpose(0, 1), imageEmbeds, textEmbeds: hidden };
      }
      const { imageEmbeds } = this.encodeImages(pixelValues);
      const textEmbeds = this.encodeTexts(inputIds, attentionMask, { classOnly: true }).textEmbeds.select(1, 0);
      const logitsPerImage = contrast(imageEmbeds, textEmbeds);
      return { logitsPerImage, logitsPerText: logitsPerImage.transpose(0, 1), imageEmbeds, textEmbeds };
    });
  }

  /** The queries' normalised features `[B, Q, E]` and the tower's features `[B, N, vision width]` of pictures `[B, 3, H, W]`. */
  encodeImages(
    pixelValues: Tensor,
    options: { interpolatePosEncoding?: boolean } = {},
  ): { imageEmbeds: Tensor; lastHiddenState: Tensor } {
    return scope(() => {
      const { lastHiddenState } = this.visionModel.forward(pixelValues, options);
      return { imageEmbeds: imageFeatures(this, this.imageKeyValues(lastHiddenState)), lastHiddenState };
    });
  }

  /** Keys and values of every cross-attention from the tower's features `[B, N, vision width]`, for all passes over these pictures. */
  imageKeyValues(features: Tensor): CrossKeyValues {
    return scope(() => this.qformer.crossKeyValues(features));
  }

  /**
   * Normalised features of texts' tokens `[T, L, E]`, and the Q-Former's output `[T, L, D]`. The ids carry no image tokens; the feature
   * of a text is that of its first token, the only one with `classOnly`.
   */
  encodeTexts(
    inputIds: Tensor,
    attentionMask?: Tensor,
    options: { classOnly?: boolean } = {},
  ): { textEmbeds: Tensor; lastHiddenState: Tensor } {
    return scope(() => textFeatures(this, inputIds, attentionMask, options));
  }

  /**
   * The matching head's logits `[T, 2]` of pairs, index 1 for "match". The ids `[T, L]` carry no image tokens.
   * @param images one picture for each text, or pictures that several texts share; keys and values ({@link imageKeyValues}) where the
   * same are matched several times
   * @throws ArgumentError where pictures and texts are not as many
   */
  match(images: MatchImages, inputIds: Tensor, attentionMask?: Tensor, options: MatchOptions = {}): Tensor {
    checkObject(images, 'images');
    return scope(() => {
      if ('sharedPictures' in images) return matchingLogits(this, images.sharedPictures, inputIds, attentionMask, options);
      const keyValues = 'imageFeatures' in images ? this.imageKeyValues(images.imageFeatures) : images.imageKeyValues;
      return matchingLogits(this, [{ keyValues, share: 1 }], inputIds, attentionMask, options);
    });
  }

  /** Matches a picture with each text, and keeps the hidden states of queries and text. */
  #matched(pictures: Tensor, inputIds: Tensor, attentionMask: Tensor | undefined): { logits: Tensor; hidden: Tensor } {
    const queries = this.queryTokens.size(1);
    if (pictures.size(0) !== inputIds.size(0)) {
      throw new ArgumentError(
        'inputIds',
        `ids [${pictures.size(0)}, L], a row for each picture`,
        `[${inputIds.shape.join(', ')}]`,
      );
    }
    const { lastHiddenState: hidden } = this.qformer.forward({
      queryEmbeds: this.queryTokens,
      textEmbeds: this.embeddings.forward(inputIds),
      attentionMask: attentionMask === undefined ? null : matchingMask(attentionMask, queries),
      encoderHiddenStates: pictures,
    });
    const logits = this.itmHead.forward(hidden.narrow(1, 0, queries).to(this.itmHead.weight.dtype)).mean(1);
    return { logits, hidden };
  }

  /** Takes the image tokens off ids and mask where the configuration says that they are there. */
  #withoutImageTokens(inputs: RetrievalInputs): RetrievalInputs {
    if (this.#config.imageTokenIndex === null) return inputs;
    const queries = this.#config.numQueryTokens;
    const length = inputs.inputIds.size(1);
    if (length <= queries) {
      throw new ArgumentError(
        'inputIds',
        `${queries} image tokens and text in each row (image_token_index is set)`,
        `${length} ids`,
      );
    }
    const cut = (x: Tensor): Tensor => x.narrow(1, queries, length - queries);
    const { attentionMask } = inputs;
    return {
      ...inputs,
      inputIds: cut(inputs.inputIds),
      attentionMask: attentionMask === undefined ? undefined : cut(attentionMask),
    };
  }
}

/** The greatest similarity of any query: `[B, Q, E]`, `[T, E]` → `[B, T]`. */
function contrast(imageEmbeds: Tensor, textEmbeds: Tensor): Tensor {
  return imageEmbeds.matmul(textEmbeds.transpose(0, 1)).amax(1);
}
