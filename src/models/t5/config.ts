import { checkArgument, having } from '../../native/arguments.ts';
import { type ActivationName, activationNames } from '../../nn/index.ts';
import { Fields, type JsonObject } from '../fields.ts';

/** The shape of a T5 encoder-decoder (v1.1 and Flan-T5 included). */
export interface T5Config {
  /** As config.json has it. */
  readonly modelType: 't5';
  /** V, 32,128 unless told. */
  readonly vocabSize: number;
  /** E, width of the residual stream; 512 unless told. */
  readonly dModel: number;
  /** Width of a head; heads × dKv need not be dModel. */
  readonly dKv: number;
  /** Inner width of the feed-forward blocks. */
  readonly dFf: number;
  /** Blocks of the encoder. */
  readonly numLayers: number;
  /** Blocks of the decoder; as many as of the encoder unless told. */
  readonly numDecoderLayers: number;
  /** 8 unless told. */
  readonly numHeads: number;
  /** Rows of the table of relative positions; 32 unless told. */
  readonly relativeAttentionNumBuckets: number;
  /** The distance from which on all share the last bucket; 128 unless told. */
  readonly relativeAttentionMaxDistance: number;
  /** Of attention weights and of what each sublayer gives, in training; 0.1 unless told. */
  readonly dropoutRate: number;
  /** Of the RMS norms; 1e-6 unless told. */
  readonly layerNormEpsilon: number;
  /** Standard deviations of new weights are multiples of this. */
  readonly initializerFactor: number;
  /** Activation of the feed-forward blocks. */
  readonly denseActFn: ActivationName;
  /** Whether a second projection gates the first. */
  readonly isGatedAct: boolean;
  /** Whether the decoder's output is multiplied by dModel^-0.5 before the head. */
  readonly scaleDecoderOutputs: boolean;
  /** Whether the output table is the word embedding. A checkpoint that has another output table goes before this. */
  readonly tieWordEmbeddings: boolean;
  /** 0 unless told. */
  readonly padTokenId: number;
  /** `</s>`; 1 unless told. */
  readonly eosTokenId: number | readonly number[];
  /** Null unless told: T5 has none. */
  readonly bosTokenId: number | null;
  /** What the decoder goes on from; the padding token unless told. */
  readonly decoderStartTokenId: number;
}

/**
 * Reads a T5 configuration as Hugging Face writes it; absent fields take the defaults of its `T5Config`.
 * @param path the object's name in errors
 * @throws ArgumentError naming the field that is not as expected
 */
export function parseT5Config(json: unknown, path = 'text_config'): T5Config {
  const fields = new Fields(json, path);
  const numLayers = fields.layers('num_layers', 6);
  const padTokenId = fields.id('pad_token_id', 0);
  const { gated, name } = feedForward(fields);
  const buckets = fields.size('relative_attention_num_buckets', 32);
  if (buckets < 4) fields.refuse('relative_attention_num_buckets', 'at least 4 (half of them for each direction)');
  const maxDistance = fields.size('relative_attention_max_distance', 128);
  if (maxDistance <= buckets / 2) fields.refuse('relative_attention_max_distance', `more than half of the ${buckets} buckets`);
  return {
    modelType: 't5',
    vocabSize: fields.size('vocab_size', 32128),
    dModel: fields.size('d_model', 512),
    dKv: fields.size('d_kv', 64),
    dFf: fields.size('d_ff', 2048),
    numLayers,
    numDecoderLayers: fields.layers('num_decoder_layers', numLayers),
    numHeads: fields.size('num_heads', 8),
    relativeAttentionNumBuckets: buckets,
    relativeAttentionMaxDistance: maxDistance,
    dropoutRate: fields.probability('dropout_rate', 0.1),
    layerNormEpsilon: fields.positive('layer_norm_epsilon', 1e-6),
    initializerFactor: fields.scale('initializer_factor', 1),
    denseActFn: fields.activation('dense_act_fn', name),
    isGatedAct: fields.flag('is_gated_act', gated),
    // Hugging Face tells v1.1 (not scaled) from the first T5 (scaled) by the former's tie_word_embeddings = false.
    scaleDecoderOutputs: fields.flag('scale_decoder_outputs', fields.raw('tie_word_embeddings') !== false),
    tieWordEmbeddings: fields.flag('tie_word_embeddings', true),
    padTokenId,
    eosTokenId: fields.ids('eos_token_id', 1),
    bosTokenId: fields.id('bos_token_id', null),
    decoderStartTokenId: fields.id('decoder_start_token_id', padTokenId),
  };
}

/** `feed_forward_proj`: an activation, or `gated-` and one; `gated-gelu` means the tanh approximation. */
function feedForward(fields: Fields): { gated: boolean; name: ActivationName } {
  const text = fields.raw('feed_forward_proj') ?? 'relu';
  const match = typeof text === 'string' ? /^(gated-)?(.+)$/.exec(text) : null;
  const name = match?.[2] as ActivationName | undefined;
  if (name === undefined || !activationNames.includes(name)) {
    fields.refuse('feed_forward_proj', `"gated-" and, or only, one of ${activationNames.join(', ')}`);
  }
  return text === 'gated-gelu' ? { gated: true, name: 'gelu_new' } : { gated: match?.[1] !== undefined, name };
}

/** The configuration under Hugging Face's field names. */
export function t5ConfigToJson(config: T5Config): JsonObject {
  checkArgument('config', config, having('dModel', 'denseActFn'));
  return {
    model_type: config.modelType,
    vocab_size: config.vocabSize,
    d_model: config.dModel,
    d_kv: config.dKv,
    d_ff: config.dFf,
    num_layers: config.numLayers,
    num_decoder_layers: config.numDecoderLayers,
    num_heads: config.numHeads,
    relative_attention_num_buckets: config.relativeAttentionNumBuckets,
    relative_attention_max_distance: config.relativeAttentionMaxDistance,
    dropout_rate: config.dropoutRate,
    layer_norm_epsilon: config.layerNormEpsilon,
    initializer_factor: config.initializerFactor,
    feed_forward_proj: `${config.isGatedAct ? 'gated-' : ''}${config.denseActFn.replace(/_new$/, '')}`,
    dense_act_fn: config.denseActFn,
    is_gated_act: config.isGatedAct,
    scale_decoder_outputs: config.scaleDecoderOutputs,
    tie_word_embeddings: config.tieWordEmbeddings,
    pad_token_id: config.padTokenId,
    eos_token_id: config.eosTokenId,
    bos_token_id: config.bosTokenId,
    decoder_start_token_id: config.decoderStartTokenId,
  };
}
