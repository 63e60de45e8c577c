import { checkArgument, having } from '../../native/arguments.ts';
import type { ActivationName } from '../../nn/index.ts';
import { checkHeads, Fields, type JsonObject } from '../fields.ts';

/** The shape of a Q-Former: BERT with cross-attention to the picture. */
export interface QFormerConfig {
  /** Words of the text, 30,522 unless told: BERT's. LAVIS has 30,523, with `[DEC]`. */
  readonly vocabSize: number;
  /** D, width of the layers; 768 unless told. */
  readonly hiddenSize: number;
  /** 12 unless told. */
  readonly numHiddenLayers: number;
  /** H, of which `hiddenSize` is a multiple; 12 unless told. */
  readonly numAttentionHeads: number;
  /** Inner width of the feed-forward blocks. */
  readonly intermediateSize: number;
  /** Inside the feed-forward blocks; `'gelu'` unless told. */
  readonly hiddenAct: ActivationName;
  /** Probability of dropping an element of a sublayer's output, in training; 0.1 unless told. */
  readonly hiddenDropoutProb: number;
  /** Probability of dropping an attention weight, in training; 0.1 unless told. */
  readonly attentionProbsDropoutProb: number;
  /** Longest text. */
  readonly maxPositionEmbeddings: number;
  /** 1e-12 unless told. */
  readonly layerNormEps: number;
  /** 0 unless told. */
  readonly padTokenId: number;
  /** Layers 0, n, 2n, … attend to the picture. */
  readonly crossAttentionFrequency: number;
  /** Width of the picture's features. */
  readonly encoderHiddenSize: number;
  /** Whether there are feed-forward blocks for text. */
  readonly useQformerTextInput: boolean;
  /** Standard deviation of new weights. */
  readonly initializerRange: number;
}

/**
 * Reads a `blip_2_qformer` configuration; absent fields take Hugging Face's defaults.
 * @param encoderHiddenSize the vision tower's width, which wins over the file's own field
 * @param path the object's name in errors
 * @throws ArgumentError naming the field that is not as expected
 */
export function parseQFormerConfig(json: unknown, encoderHiddenSize?: number, path = 'qformer_config'): QFormerConfig {
  const fields = new Fields(json, path);
  const hiddenSize = fields.size('hidden_size', 768);
  const numAttentionHeads = fields.size('num_attention_heads', 12);
  checkHeads(fields, 'hidden_size', hiddenSize, 'num_attention_heads', numAttentionHeads);
  return {
    vocabSize: fields.size('vocab_size', 30522),
    hiddenSize,
    numHiddenLayers: fields.layers('num_hidden_layers', 12),
    numAttentionHeads,
    intermediateSize: fields.size('intermediate_size', 3072),
    hiddenAct: fields.activation('hidden_act', 'gelu'),
    hiddenDropoutProb: fields.probability('hidden_dropout_prob', 0.1),
    attentionProbsDropoutProb: fields.probability('attention_probs_dropout_prob', 0.1),
    maxPositionEmbeddings: fields.size('max_position_embeddings', 512),
    layerNormEps: fields.positive('layer_norm_eps', 1e-12),
    padTokenId: fields.id('pad_token_id', 0),
    crossAttentionFrequency: fields.size('cross_attention_frequency', 2),
    encoderHiddenSize: encoderHiddenSize ?? fields.size('encoder_hidden_size', 1408),
    useQformerTextInput: fields.flag('use_qformer_text_input', false),
    initializerRange: fields.scale('initializer_range', 0.02),
  };
}

/** The configuration under Hugging Face's field names. */
export function qFormerConfigToJson(config: QFormerConfig): JsonObject {
  checkArgument('config', config, having('hiddenSize'));
  return {
    model_type: 'blip_2_qformer',
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    intermediate_size: config.intermediateSize,
    hidden_act: config.hiddenAct,
    hidden_dropout_prob: config.hiddenDropoutProb,
    attention_probs_dropout_prob: config.attentionProbsDropoutProb,
    max_position_embeddings: config.maxPositionEmbeddings,
    layer_norm_eps: config.layerNormEps,
    pad_token_id: config.padTokenId,
    cross_attention_frequency: config.crossAttentionFrequency,
    encoder_hidden_size: config.encoderHiddenSize,
    use_qformer_text_input: config.useQformerTextInput,
    initializer_range: config.initializerRange,
  };
}
