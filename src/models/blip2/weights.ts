import type { CheckpointRules } from '../checkpoint.ts';
import type { JsonObject } from '../fields.ts';
import type { TextConfig } from './config.ts';

/** Buffers of old versions, and a table that T5 files once had too many. */
const ignored = /(^|\.)position_ids$|\.decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$/;

/** Hugging Face keeps these in float32 when all else is float16. */
const float32 = /^(query_tokens$|qformer\.)/;

const HEAD = 'language_model.lm_head.weight';
const WORDS = 'language_model.model.decoder.embed_tokens.weight';

/** The rules of a model that writes text: OPT's output table is its word embedding, and a file has it under either name, or both. */
export function generationRules(config: TextConfig): CheckpointRules {
  const tied = config.modelType === 'opt' && config.tieWordEmbeddings;
  return { aliases: new Map(tied ? [[HEAD, WORDS]] : []), ignored, float32 };
}

/** The rules of a model that matches pictures and text. */
export const retrievalRules: CheckpointRules = { aliases: new Map(), ignored, float32 };

/** generation_config.json: the language model's special ids. */
export function generationConfigJson(config: TextConfig): JsonObject {
  return {
    _from_model_config: true,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenId,
    pad_token_id: config.padTokenId,
    ...(config.modelType === 't5' ? { decoder_start_token_id: config.decoderStartTokenId } : {}),
  };
}
