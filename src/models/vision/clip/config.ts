import type { ActivationName } from '../../../nn/index.ts';
import { checkHeads, Fields, type JsonObject } from '../../fields.ts';
import { checkPatches } from '../eva/config.ts';

/** The shape of a CLIP vision transformer; the defaults are those of ViT-L/14. */
export interface ClipVisionConfig {
  readonly hiddenSize: number;
  /** Inner width of the feed-forward blocks. */
  readonly intermediateSize: number;
  /** Blocks of the whole CLIP tower; BLIP-2 runs all but the last. */
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  /** Side of the square pictures, in pixels. */
  readonly imageSize: number;
  /** Side of a patch, in pixels. */
  readonly patchSize: number;
  readonly hiddenAct: ActivationName;
  readonly layerNormEps: number;
  readonly attentionDropout: number;
  /** Standard deviation of new weights. */
  readonly initializerRange: number;
}

/**
 * Reads a `clip_vision_model` configuration; absent fields take the values of CLIP ViT-L/14.
 * @param path the object's name in errors
 * @throws ArgumentError naming the field that is not as expected
 */
export function parseClipVisionConfig(json: unknown, path = 'vision_config'): ClipVisionConfig {
  const fields = new Fields(json, path);
  const hiddenSize = fields.size('hidden_size', 1024);
  const numAttentionHeads = fields.size('num_attention_heads', 16);
  checkHeads(fields, 'hidden_size', hiddenSize, 'num_attention_heads', numAttentionHeads);
  const imageSize = fields.size('image_size', 224);
  const patchSize = fields.size('patch_size', 14);
  checkPatches(fields, imageSize, patchSize);
  const numHiddenLayers = fields.size('num_hidden_layers', 24);
  if (numHiddenLayers < 2) fields.refuse('num_hidden_layers', 'at least 2 (the last one does not run)');
  return {
    hiddenSize,
    intermediateSize: fields.size('intermediate_size', 4096),
    numHiddenLayers,
    numAttentionHeads,
    imageSize,
    patchSize,
    hiddenAct: fields.activation('hidden_act', 'quick_gelu'),
    layerNormEps: fields.positive('layer_norm_eps', 1e-5),
    attentionDropout: fields.probability('attention_dropout', 0),
    initializerRange: fields.scale('initializer_range', 0.02),
  };
}

/** The configuration under Hugging Face's field names. */
export function clipVisionConfigToJson(config: ClipVisionConfig): JsonObject {
  return {
    model_type: 'clip_vision_model',
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    image_size: config.imageSize,
    patch_size: config.patchSize,
    hidden_act: config.hiddenAct,
    layer_norm_eps: config.layerNormEps,
    attention_dropout: config.attentionDropout,
    initializer_range: config.initializerRange,
  };
}
