// B pictures, Q queries a picture, N image tokens, W width of the picture's features, E width of the language model.
import { checkArgument, having } from '../../native/arguments.ts';
import { initNormal, LayerNorm, Linear, Module, type Parameter, parameter } from '../../nn/index.ts';
import { scope, type Tensor } from '../../tensor/index.ts';
import { Fields, type JsonObject } from '../fields.ts';
import { parseQFormerConfig, type QFormerConfig, qFormerConfigToJson } from '../qformer/config.ts';
import { QFormerModel } from '../qformer/model.ts';
import { imageKeyValues } from './image-key-values.ts';

/** The shape of what BLIP-2's second stage trains. */
export interface GenerativePretrainingConfig {
  /** The Q-Former's shape, without text. */
  readonly qformerConfig: QFormerConfig;
  /** Queries a picture, and so soft prompts. */
  readonly numQueryTokens: number;
  /** Width of the language model. */
  readonly languageHiddenSize: number;
  /** Eps of the LayerNorm over the picture's features (LAVIS 1e-5, Hugging Face 1e-6); null where they come normalised. */
  readonly visionLayerNormEps: number | null;
  /** Standard deviation of new weights. */
  readonly initializerRange: number;
}

/**
 * Reads a configuration of the second stage; absent fields take the paper's values, which are LAVIS's. The Q-Former's own fields are
 * Hugging Face's; it takes no text.
 * @throws ArgumentError naming the field that is not as expected
 */
export function parseGenerativePretrainingConfig(json: unknown): GenerativePretrainingConfig {
  const fields = new Fields(json, '');
  const qformerConfig = parseQFormerConfig(fields.raw('qformer_config') ?? {});
  if (qformerConfig.useQformerTextInput) {
    fields.child('qformer_config').refuse('use_qformer_text_input', 'false, as text goes to the language model');
  }
  return {
    qformerConfig,
    numQueryTokens: fields.size('num_query_tokens', 32),
    languageHiddenSize: fields.size('language_hidden_size', 2560),
    visionLayerNormEps: fields.flag('vision_layer_norm', true) ? fields.positive('vision_layer_norm_eps', 1e-5) : null,
    initializerRange: fields.scale('initializer_range', 0.02),
  };
}

/** The configuration under the names that {@link parseGenerativePretrainingConfig} reads. */
export function generativePretrainingConfigToJson(config: GenerativePretrainingConfig): JsonObject {
  checkArgument('config', config, having('qformerConfig'));
  const { visionLayerNormEps } = config;
  return {
    qformer_config: qFormerConfigToJson(config.qformerConfig),
    num_query_tokens: config.numQueryTokens,
    language_hidden_size: config.languageHiddenSize,
    vision_layer_norm: visionLayerNormEps !== null,
    ...(visionLayerNormEps === null ? {} : { vision_layer_norm_eps: visionLayerNormEps }),
    initializer_range: config.initializerRange,
  };
}

/**
 * What BLIP-2's second stage trains (§3.2): the Q-Former with its queries, the projection to the language model's width, and the LayerNorm
 * over the frozen encoder's features. Encoder and language model are no part of it. Parameters are named as in Hugging Face's
 * `Blip2ForConditionalGeneration`; the LayerNorm is named `ln_vision` as in LAVIS (there `vision_model.post_layernorm`).
 */
export class Blip2ForGenerativePretraining extends Module {
  /** Over the frozen encoder's features; absent where these come normalised. */
  readonly lnVision?: LayerNorm;
  /** `[1, Q, D]`, D the Q-Former's width. */
  readonly queryTokens: Parameter;
  /** Fills the queries from the features. */
  readonly qformer: QFormerModel;
  /** From D to E. */
  readonly languageProjection: Linear;
  readonly #config: GenerativePretrainingConfig;

  constructor(config: GenerativePretrainingConfig) {
    super();
    checkArgument('config', config, having('qformerConfig'));
    const { qformerConfig, languageHiddenSize, visionLayerNormEps } = config;
    const { hiddenSize, encoderHiddenSize } = qformerConfig;
    const init = initNormal(config.initializerRange);
    if (visionLayerNormEps !== null) this.lnVision = new LayerNorm(encoderHiddenSize, { eps: visionLayerNormEps });
    this.queryTokens = parameter([1, config.numQueryTokens, hiddenSize], init);
    this.qformer = new QFormerModel(qformerConfig);
    this.languageProjection = new Linear(hiddenSize, languageHiddenSize, { init });
    this.#config = config;
  }

  /** The shape that it was built with. */
  get config(): GenerativePretrainingConfig {
    return this.#config;
  }

  /** The frozen encoder's features `[B, N, W]`, before its last LayerNorm, as the language model reads them: soft prompts `[B, Q, E]`. */
  forward(imageFeatures: Tensor): Tensor {
    return scope(() => {
      const { queries } = this.qformer.encode({
        queryEmbeds: this.queryTokens,
        encoderKeyValues: imageKeyValues(this, imageFeatures),
        wanted: 'queries',
      });
      return this.languageProjection.forward(queries as Tensor);
    });
  }
}
