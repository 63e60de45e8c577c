import type { ActivationName } from '../../../nn/index.ts';
import { checkHeads, Fields, type JsonObject } from '../../fields.ts';

/** The shape of an EVA-CLIP vision transformer; the defaults are those of ViT-g/14 without its last block. */
export interface VisionConfig {
  readonly hiddenSize: number;
  /** Inner width of the feed-forward blocks. */
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  /** Side of the square pictures, in pixels. */
  readonly imageSize: number;
  /** Side of a patch, in pixels. */
  readonly patchSize: number;
  readonly hiddenAct: ActivationName;
  readonly layerNormEps: number;
  readonly attentionDropout: number;
  readonly qkvBias: boolean;
  /** Standard deviation of new weights. */
  readonly initializerRange: number;
}

/**
 * Reads a `blip_2_vision_model` configuration; absent fields take Hugging Face's defaults.
 * @param path the object's name in errors
 * @throws ArgumentError naming the field that is not as expected
 */
export function parseVisionConfig(json: unknown, path = 'vision_config'): VisionConfig {
  const fields = new Fields(json, path);
  const hiddenSize = fields.size('hidden_size', 1408);
  const numAttentionHeads = fields.size('num_attention_heads', 16);
  checkHeads(fields, 'hidden_size', hiddenSize, 'num_attention_heads', numAttentionHeads);
  const imageSize = fields.size('image_size', 224);
  const patchSize = fields.size('patch_size', 14);
  checkPatches(fields, imageSize, patchSize);
  return {
    hiddenSize,
    intermediateSize: fields.size('intermediate_size', 6144),
    numHiddenLayers: fields.size('num_hidden_layers', 39),
    numAttentionHeads,
    imageSize,
    patchSize,
    hiddenAct: fields.activation('hidden_act', 'gelu'),
    layerNormEps: fields.positive('layer_norm_eps', 1e-6),
    attentionDropout: fields.probability('attention_dropout', 0),
    qkvBias: fields.flag('qkv_bias', true),
    initializerRange: fields.scale('initializer_range', 1e-10),
  };
}

/** Checks that a picture has at least one patch. */
export function checkPatches(fields: Fields, imageSize: number, patchSize: number): void {
  if (patchSize > imageSize) {
    fields.refuse('patch_size', `at most ${fields.name('image_size')} (${imageSize})`, String(patchSize));
  }
}

/** The configuration under Hugging Face's field names. */
export function visionConfigToJson(config: VisionConfig): JsonObject {
  return {
    model_type: 'blip_2_vision_model',
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    image_size: config.imageSize,
    patch_size: config.patchSize,
    hidden_act: config.hiddenAct,
    layer_norm_eps: config.layerNormEps,
    attention_dropout: config.attentionDropout,
    qkv_bias: config.qkvBias,
    initializer_range: config.initializerRange,
  };
}
