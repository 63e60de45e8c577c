import type { ActivationName } from '../../nn/index.ts';
import { checkHeads, type Fields, type JsonObject } from '../fields.ts';

/** The shape of a vision transformer: what the towers of all kinds have in common. */
export interface VisionShape {
  readonly hiddenSize: number;
  /** Inner width of the feed-forward blocks. */
  readonly intermediateSize: number;
  /** Blocks; of CLIP's the whole tower's, of which BLIP-2 runs all but the last. */
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
 * Reads the fields that all towers have.
 * @param defaults the kind's own
 * @throws ArgumentError naming the field that is not as expected
 */
export function parseVisionShape(fields: Fields, defaults: VisionShape): VisionShape {
  const hiddenSize = fields.size('hidden_size', defaults.hiddenSize);
  const numAttentionHeads = fields.size('num_attention_heads', defaults.numAttentionHeads);
  checkHeads(fields, 'hidden_size', hiddenSize, 'num_attention_heads', numAttentionHeads);
  const imageSize = fields.size('image_size', defaults.imageSize);
  const patchSize = fields.size('patch_size', defaults.patchSize);
  if (patchSize > imageSize) {
    fields.refuse('patch_size', `at most ${fields.name('image_size')} (${imageSize})`, String(patchSize));
  }
  return {
    hiddenSize,
    intermediateSize: fields.size('intermediate_size', defaults.intermediateSize),
    numHiddenLayers: fields.layers('num_hidden_layers', defaults.numHiddenLayers),
    numAttentionHeads,
    imageSize,
    patchSize,
    hiddenAct: fields.activation('hidden_act', defaults.hiddenAct),
    layerNormEps: fields.positive('layer_norm_eps', defaults.layerNormEps),
    attentionDropout: fields.probability('attention_dropout', defaults.attentionDropout),
    initializerRange: fields.scale('initializer_range', defaults.initializerRange),
  };
}

/** Those fields under Hugging Face's names. */
export function visionShapeToJson(shape: VisionShape): JsonObject {
  return {
    hidden_size: shape.hiddenSize,
    intermediate_size: shape.intermediateSize,
    num_hidden_layers: shape.numHiddenLayers,
    num_attention_heads: shape.numAttentionHeads,
    image_size: shape.imageSize,
    patch_size: shape.patchSize,
    hidden_act: shape.hiddenAct,
    layer_norm_eps: shape.layerNormEps,
    attention_dropout: shape.attentionDropout,
    initializer_range: shape.initializerRange,
  };
}
