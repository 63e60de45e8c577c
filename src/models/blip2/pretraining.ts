// B pictures, Q queries a picture, N image tokens, W width of the picture's features, D width of the Q-Former, E of the features compared.
import { ArgumentError } from '../../native/errors.ts';
import { initNormal, LayerNorm, Linear, Module, type Parameter, parameter } from '../../nn/index.ts';
import { cat, inFloat32, layerNorm, linear, noGrad, scope, type Tensor } from '../../tensor/index.ts';
import { Fields, type JsonObject } from '../fields.ts';
import { parseQFormerConfig, type QFormerConfig, qFormerConfigToJson } from '../qformer/config.ts';
import { QFormerEmbeddings } from '../qformer/embeddings.ts';
import { QFormerLmHead } from '../qformer/lm-head.ts';
import { type CrossKeyValues, QFormerModel } from '../qformer/model.ts';

/** The shape of what BLIP-2's first stage trains. */
export interface PretrainingConfig {
  readonly qformerConfig: QFormerConfig;
  /** Queries a picture. */
  readonly numQueryTokens: number;
  /** Width of the features that image-text contrast compares. */
  readonly imageTextHiddenSize: number;
  /** The temperature that the contrast starts with. */
  readonly initialTemperature: number;
  /** Eps of the LayerNorm over the picture's features (LAVIS 1e-5, Hugging Face 1e-6); null where they come normalised. */
  readonly visionLayerNormEps: number | null;
  /** The token that text to be written begins with. */
  readonly decoderTokenId: number;
  /** Standard deviation of new weights. */
  readonly initializerRange: number;
}

/**
 * Reads a configuration of the first stage; absent fields take the paper's values, which are LAVIS's. The Q-Former's own fields are
 * Hugging Face's, but that it takes text and has a word `[DEC]` more than BERT.
 * @throws ArgumentError naming the field that is not as expected
 */
export function parsePretrainingConfig(json: unknown): PretrainingConfig {
  const fields = new Fields(json, '');
  const given = (fields.raw('qformer_config') ?? {}) as object;
  const qformerConfig = parseQFormerConfig({ vocab_size: 30523, use_qformer_text_input: true, ...given });
  if (!qformerConfig.useQformerTextInput) throw new ArgumentError('qformer_config.use_qformer_text_input', 'true', 'false');
  const decoderTokenId = fields.id('decoder_token_id', qformerConfig.vocabSize - 1);
  if (decoderTokenId >= qformerConfig.vocabSize) {
    fields.refuse('decoder_token_id', `an id below qformer_config.vocab_size (${qformerConfig.vocabSize})`);
  }
  return {
    qformerConfig,
    numQueryTokens: fields.size('num_query_tokens', 32),
    imageTextHiddenSize: fields.size('image_text_hidden_size', 256),
    initialTemperature: fields.positive('initial_temperature', 0.07),
    visionLayerNormEps: fields.flag('vision_layer_norm', true) ? fields.positive('vision_layer_norm_eps', 1e-5) : null,
    decoderTokenId,
    initializerRange: fields.scale('initializer_range', 0.02),
  };
}

/** The configuration under the names that {@link parsePretrainingConfig} reads. */
export function pretrainingConfigToJson(config: PretrainingConfig): JsonObject {
  const { visionLayerNormEps } = config;
  return {
    qformer_config: qFormerConfigToJson(config.qformerConfig),
    num_query_tokens: config.numQueryTokens,
    image_text_hidden_size: config.imageTextHiddenSize,
    initial_temperature: config.initialTemperature,
    vision_layer_norm: visionLayerNormEps !== null,
    ...(visionLayerNormEps === null ? {} : { vision_layer_norm_eps: visionLayerNormEps }),
    decoder_token_id: config.decoderTokenId,
    initializer_range: config.initializerRange,
  };
}

/**
 * What BLIP-2's first stage trains (§3.1): the Q-Former with its queries, words and heads, and the LayerNorm over the frozen encoder's
 * features. Parameters are named as in Hugging Face's `Blip2ForImageTextRetrieval`; what that has not is named `ln_vision` (there
 * `vision_model.post_layernorm`), `temp` and `cls` as in LAVIS.
 */
export class Blip2ForPretraining extends Module {
  readonly lnVision?: LayerNorm;
  readonly queryTokens: Parameter;
  readonly embeddings: QFormerEmbeddings;
  readonly qformer: QFormerModel;
  readonly visionProjection: Linear;
  readonly textProjection: Linear;
  readonly itmHead: Linear;
  readonly cls: QFormerLmHead;
  /** The contrast's temperature, `[]`. */
  readonly temp: Parameter;
  readonly #config: PretrainingConfig;

  constructor(config: PretrainingConfig) {
    super();
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

  get config(): PretrainingConfig {
    return this.#config;
  }

  /**
   * Keys and values of every cross-attention from the frozen encoder's features `[B, N, W]`, for all passes over these pictures.
   *
   * The LayerNorm's weight γ and bias β are folded into the projections: W·(γ∘x̂ + β) + b = (W∘γ)·x̂ + (W·β + b). The normalised features x̂
   * need no gradient then, which spares the largest product of the backward pass. All layers' projections are one product.
   */
  imageKeyValues(features: Tensor): CrossKeyValues {
    return scope(() => {
      const layers = this.qformer.encoder.layer;
      const heads = layers.map((layer) => layer.crossattention?.attention);
      const linears = heads.flatMap((head) => (head === undefined ? [] : [head.key, head.value]));
      const { weight, bias } = inFloat32(features.device, () => this.#folded(linears));
      const projected = linear(this.#normalized(features.detach()), weight, bias).chunk(linears.length, 2);
      const next = (): Tensor => projected.shift() as Tensor;
      return heads.map((head) => head && { key: head.split(next()).contiguous(), value: head.split(next()).contiguous() });
    });
  }

  /** x̂: without weight, bias and gradient. */
  #normalized(features: Tensor): Tensor {
    const x = features.to(this.queryTokens.dtype);
    const { lnVision } = this;
    return lnVision === undefined ? x : noGrad(() => layerNorm(x, [x.size(-1)], null, null, lnVision.eps));
  }

  #folded(linears: readonly Linear[]): { weight: Tensor; bias: Tensor } {
    const weight = cat(linears.map((part) => part.weight));
    const bias = cat(linears.map((part) => part.bias as Tensor));
    const { weight: gamma, bias: beta } = this.lnVision ?? {};
    if (gamma == null || beta == null) return { weight, bias };
    return { weight: weight.mul(gamma), bias: bias.add(weight.matmul(beta)) };
  }
}
