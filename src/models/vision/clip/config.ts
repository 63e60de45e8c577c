import { Fields, type JsonObject } from '../../fields.ts';
import { parseVisionShape, type VisionShape, visionShapeToJson } from '../config.ts';

/** The shape of a CLIP vision transformer. */
export type ClipVisionConfig = VisionShape;

const LARGE: ClipVisionConfig = {
  hiddenSize: 1024,
  intermediateSize: 4096,
  numHiddenLayers: 24,
  numAttentionHeads: 16,
  imageSize: 224,
  patchSize: 14,
  hiddenAct: 'quick_gelu',
  layerNormEps: 1e-5,
  attentionDropout: 0,
  initializerRange: 0.02,
};

/**
 * Reads a `clip_vision_model` configuration; absent fields take the values of CLIP ViT-L/14.
 * @param path the object's name in errors
 * @throws ArgumentError naming the field that is not as expected
 */
export function parseClipVisionConfig(json: unknown, path = 'vision_config'): ClipVisionConfig {
  const fields = new Fields(json, path);
  const shape = parseVisionShape(fields, LARGE);
  if (shape.numHiddenLayers < 2) fields.refuse('num_hidden_layers', 'at least 2 (the last one does not run)');
  return shape;
}

/** The configuration under Hugging Face's field names. */
export function clipVisionConfigToJson(config: ClipVisionConfig): JsonObject {
  return { model_type: 'clip_vision_model', ...visionShapeToJson(config) };
}
