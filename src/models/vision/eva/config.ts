import { Fields, type JsonObject } from '../../fields.ts';
import { parseVisionShape, type VisionShape, visionShapeToJson } from '../config.ts';

/** The shape of an EVA-CLIP vision transformer. */
export interface VisionConfig extends VisionShape {
  /** Whether queries, keys and values have biases. */
  readonly qkvBias: boolean;
}

/** ViT-g/14 without its last block. */
const GIANT: VisionShape = {
  hiddenSize: 1408,
  intermediateSize: 6144,
  numHiddenLayers: 39,
  numAttentionHeads: 16,
  imageSize: 224,
  patchSize: 14,
  hiddenAct: 'gelu',
  layerNormEps: 1e-6,
  attentionDropout: 0,
  initializerRange: 1e-10,
};

/**
 * Reads a `blip_2_vision_model` configuration; absent fields take Hugging Face's defaults, those of ViT-g/14 without its last block.
 * @param path the object's name in errors
 * @throws ArgumentError naming the field that is not as expected
 */
export function parseVisionConfig(json: unknown, path = 'vision_config'): VisionConfig {
  const fields = new Fields(json, path);
  return { ...parseVisionShape(fields, GIANT), qkvBias: fields.flag('qkv_bias', true) };
}

/** The configuration under Hugging Face's field names. */
export function visionConfigToJson(config: VisionConfig): JsonObject {
  return { model_type: 'blip_2_vision_model', ...visionShapeToJson(config), qkv_bias: config.qkvBias };
}
