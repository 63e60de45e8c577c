import { checkArgument, having } from '../../native/arguments.ts';
import { checkpointName } from '../../nn/module.ts';
import { Fields, type JsonObject } from '../fields.ts';
import { parseQFormerConfig, type QFormerConfig, qFormerConfigToJson } from '../qformer/config.ts';
import { parseVisionConfig, type VisionConfig, visionConfigToJson } from '../vision/eva/config.ts';
import { languageKind, languageKinds, type TextConfig, type TextConfigOptions, unnamedKind } from './language/kinds.ts';

/** The shape of a BLIP-2 model. */
export interface Blip2Config {
  /** The vision tower. */
  readonly visionConfig: VisionConfig;
  /** The Q-Former; its `encoderHiddenSize` is the tower's width. */
  readonly qformerConfig: QFormerConfig;
  /** The language model; `modelType` says of which kind. */
  readonly textConfig: TextConfig;
  /** Queries, and so image tokens, a picture. */
  readonly numQueryTokens: number;
  /** Width of the features that image-text contrast compares. */
  readonly imageTextHiddenSize: number;
  /** The id that stands for one query in `inputIds`; null where the ids carry no image tokens. */
  readonly imageTokenIndex: number | null;
  /** Read and written as Hugging Face has it, without effect; 1 unless told. */
  readonly initializerFactor: number;
  /** Standard deviation of new queries and projections; 0.02 unless told. */
  readonly initializerRange: number;
}

/**
 * Reads a BLIP-2 configuration as Hugging Face writes it. Hub files leave out what has its default value and carry fields of old versions;
 * the first is filled in, the second ignored.
 * @throws ArgumentError naming the field that is not as expected
 */
export function parseBlip2Config(json: unknown): Blip2Config {
  const fields = new Fields(json, '');
  fields.choice('model_type', ['blip-2'], 'blip-2');
  const visionConfig = parseVisionConfig(fields.raw('vision_config') ?? {});
  const modelType = fields.child('text_config').choice('model_type', languageKinds, unnamedKind);
  return {
    visionConfig,
    qformerConfig: parseQFormerConfig(fields.raw('qformer_config') ?? {}, visionConfig.hiddenSize),
    textConfig: languageKind(modelType).parseConfig(fields.raw('text_config') ?? {}, 'text_config'),
    numQueryTokens: fields.size('num_query_tokens', 32),
    imageTextHiddenSize: fields.size('image_text_hidden_size', 256),
    imageTokenIndex: fields.id('image_token_index', fields.id('image_token_id', null)),
    initializerFactor: fields.scale('initializer_factor', 1),
    initializerRange: fields.scale('initializer_range', 0.02),
  };
}

/** What {@link blip2Config} is told: any fields, the others take their defaults. */
export type Blip2ConfigOptions = Partial<Omit<Blip2Config, 'visionConfig' | 'qformerConfig' | 'textConfig'>> & {
  visionConfig?: Partial<VisionConfig>;
  qformerConfig?: Partial<QFormerConfig>;
  /** Without `modelType` it is OPT's. */
  textConfig?: TextConfigOptions | Partial<Extract<TextConfig, { modelType: typeof unnamedKind }>>;
};

/**
 * A checked configuration from some of its fields.
 * @example blip2Config({ visionConfig: { hiddenSize: 96, numAttentionHeads: 4 }, numQueryTokens: 8 })
 * @throws ArgumentError naming the field, as it is called in config.json, that is not as expected
 */
export function blip2Config(options: Blip2ConfigOptions): Blip2Config {
  return parseBlip2Config(toJsonNames(options));
}

/** `hiddenSize` → `hidden_size`, at every depth. */
function toJsonNames(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([field, inner]) => [checkpointName(field), toJsonNames(inner)]));
}

/** The configuration as Hugging Face reads it, under its field names. */
export function blip2ConfigToJson(config: Blip2Config): JsonObject {
  checkArgument('config', config, having('visionConfig', 'qformerConfig', 'textConfig'));
  const { textConfig } = config;
  const { configToJson, decoderOnly } = languageKind(textConfig.modelType);
  return {
    model_type: 'blip-2',
    num_query_tokens: config.numQueryTokens,
    image_text_hidden_size: config.imageTextHiddenSize,
    image_token_index: config.imageTokenIndex,
    initializer_factor: config.initializerFactor,
    initializer_range: config.initializerRange,
    use_decoder_only_language_model: decoderOnly,
    is_encoder_decoder: !decoderOnly,
    vision_config: visionConfigToJson(config.visionConfig),
    qformer_config: qFormerConfigToJson(config.qformerConfig),
    text_config: configToJson(textConfig),
  };
}
