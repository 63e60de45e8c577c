import { checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { Fields, type JsonObject } from '../fields.ts';
import { parseQFormerConfig, type QFormerConfig, qFormerConfigToJson } from '../qformer/config.ts';

/** BERT's `[SEP]`. */
const SEP = 102;

/** The shape of what BLIP-2's first stage trains. */
export interface PretrainingConfig {
  /** The Q-Former, which takes text; its `encoderHiddenSize` W is the width of the encoder's features. */
  readonly qformerConfig: QFormerConfig;
  /** Queries a picture. */
  readonly numQueryTokens: number;
  /** Width of the features that image-text contrast compares. */
  readonly imageTextHiddenSize: number;
  /** The temperature that the contrast starts with. */
  readonly initialTemperature: number;
  /** Eps of the LayerNorm over the picture's features (LAVIS 1e-5, Hugging Face 1e-6); null where they come normalised. */
  readonly visionLayerNormEps: number | null;
  /** The token that text to be written begins with, `[DEC]`. */
  readonly decoderTokenId: number;
  /** The token that ends it, `[SEP]`; null where nothing does. */
  readonly eosTokenId: number | null;
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
  const eosTokenId = fields.id('eos_token_id', qformerConfig.vocabSize > SEP ? SEP : null);
  if (eosTokenId !== null && eosTokenId >= qformerConfig.vocabSize) {
    fields.refuse('eos_token_id', `an id below qformer_config.vocab_size (${qformerConfig.vocabSize})`);
  }
  return {
    qformerConfig,
    numQueryTokens: fields.size('num_query_tokens', 32),
    imageTextHiddenSize: fields.size('image_text_hidden_size', 256),
    initialTemperature: fields.positive('initial_temperature', 0.07),
    visionLayerNormEps: fields.flag('vision_layer_norm', true) ? fields.positive('vision_layer_norm_eps', 1e-5) : null,
    decoderTokenId,
    eosTokenId,
    initializerRange: fields.scale('initializer_range', 0.02),
  };
}

/** The configuration under the names that {@link parsePretrainingConfig} reads. */
export function pretrainingConfigToJson(config: PretrainingConfig): JsonObject {
  checkArgument('config', config, having('qformerConfig'));
  const { visionLayerNormEps } = config;
  return {
    qformer_config: qFormerConfigToJson(config.qformerConfig),
    num_query_tokens: config.numQueryTokens,
    image_text_hidden_size: config.imageTextHiddenSize,
    initial_temperature: config.initialTemperature,
    vision_layer_norm: visionLayerNormEps !== null,
    ...(visionLayerNormEps === null ? {} : { vision_layer_norm_eps: visionLayerNormEps }),
    decoder_token_id: config.decoderTokenId,
    eos_token_id: config.eosTokenId,
    initializer_range: config.initializerRange,
  };
}
