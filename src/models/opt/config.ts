import { checkArgument, having } from '../../native/arguments.ts';
import type { ActivationName } from '../../nn/index.ts';
import { checkHeads, Fields, type JsonObject } from '../fields.ts';

/** The shape of an OPT language model ("OPT: Open Pre-trained Transformer Language Models"). */
export interface OptConfig {
  /** As config.json has it. */
  readonly modelType: 'opt';
  /** Rows of the table of words; 50,272 unless told. Released BLIP-2 models have 50,304, a multiple of 64. */
  readonly vocabSize: number;
  /** Width of the blocks; 768 unless told. */
  readonly hiddenSize: number;
  /** Blocks; 12 unless told. */
  readonly numHiddenLayers: number;
  /** Of which `hiddenSize` is a multiple; 12 unless told. */
  readonly numAttentionHeads: number;
  /** Inner width of the feed-forward blocks. */
  readonly ffnDim: number;
  /** Longest sequence; the table of positions has two rows more. */
  readonly maxPositionEmbeddings: number;
  /** LayerNorm before each block, or after each residual sum. */
  readonly doLayerNormBefore: boolean;
  /** Width of the word embeddings; where it is not `hiddenSize`, there are projections in and out. */
  readonly wordEmbedProjDim: number;
  /** Probability of dropping an element of a block's output, in training; 0.1 unless told. */
  readonly dropout: number;
  /** Probability of dropping an attention weight, in training; 0 unless told. */
  readonly attentionDropout: number;
  /** Between the two layers of a feed-forward block; `'relu'` unless told. */
  readonly activationFunction: ActivationName;
  /** Whether the linear layers of the blocks have biases. */
  readonly enableBias: boolean;
  /** Whether the LayerNorms have weight and bias; true unless told. */
  readonly layerNormElementwiseAffine: boolean;
  /** Leave out the LayerNorm after the last block, as some conversions of old checkpoints do; false unless told. */
  readonly removeFinalLayerNorm: boolean;
  /** Fills prompts up; 1 unless told. */
  readonly padTokenId: number | null;
  /** `</s>`, which begins texts as well; 2 unless told. */
  readonly bosTokenId: number;
  /** What ends a text, one id or several; 2 unless told. Released BLIP-2 models say 50118, a line break. */
  readonly eosTokenId: number | readonly number[];
  /** Whether the output table is the table of words; true unless told. */
  readonly tieWordEmbeddings: boolean;
  /** Standard deviation of new weights. */
  readonly initStd: number;
}

/**
 * Reads an OPT configuration as Hugging Face writes it; absent fields take the defaults of its `OPTConfig`.
 * @param path the object's name in errors
 * @throws ArgumentError naming the field that is not as expected
 */
export function parseOptConfig(json: unknown, path = 'text_config'): OptConfig {
  const fields = new Fields(json, path);
  const hiddenSize = fields.size('hidden_size', 768);
  const numAttentionHeads = fields.size('num_attention_heads', 12);
  checkHeads(fields, 'hidden_size', hiddenSize, 'num_attention_heads', numAttentionHeads);
  return {
    modelType: 'opt',
    vocabSize: fields.size('vocab_size', 50272),
    hiddenSize,
    numHiddenLayers: fields.layers('num_hidden_layers', 12),
    numAttentionHeads,
    ffnDim: fields.size('ffn_dim', 3072),
    maxPositionEmbeddings: fields.size('max_position_embeddings', 2048),
    doLayerNormBefore: fields.flag('do_layer_norm_before', true),
    wordEmbedProjDim: fields.size('word_embed_proj_dim', hiddenSize),
    dropout: fields.probability('dropout', 0.1),
    attentionDropout: fields.probability('attention_dropout', 0),
    activationFunction: fields.activation('activation_function', 'relu'),
    enableBias: fields.flag('enable_bias', true),
    layerNormElementwiseAffine: fields.flag('layer_norm_elementwise_affine', true),
    // The plain name is what a field in camelCase comes to.
    removeFinalLayerNorm: fields.flag('_remove_final_layer_norm', fields.flag('remove_final_layer_norm', false)),
    padTokenId: fields.id('pad_token_id', 1),
    bosTokenId: fields.id('bos_token_id', 2),
    eosTokenId: fields.ids('eos_token_id', 2),
    tieWordEmbeddings: fields.flag('tie_word_embeddings', true),
    initStd: fields.scale('init_std', 0.02),
  };
}

/** The configuration under Hugging Face's field names. */
export function optConfigToJson(config: OptConfig): JsonObject {
  checkArgument('config', config, having('hiddenSize'));
  return {
    model_type: config.modelType,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    ffn_dim: config.ffnDim,
    max_position_embeddings: config.maxPositionEmbeddings,
    do_layer_norm_before: config.doLayerNormBefore,
    word_embed_proj_dim: config.wordEmbedProjDim,
    dropout: config.dropout,
    attention_dropout: config.attentionDropout,
    activation_function: config.activationFunction,
    enable_bias: config.enableBias,
    layer_norm_elementwise_affine: config.layerNormElementwiseAffine,
    _remove_final_layer_norm: config.removeFinalLayerNorm,
    pad_token_id: config.padTokenId,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenId,
    tie_word_embeddings: config.tieWordEmbeddings,
    init_std: config.initStd,
  };
}
