import { openWeights, scope, type TensorFile } from '../../tensor/index.ts';
import type { CheckpointRules } from '../checkpoint.ts';
import type { JsonObject } from '../fields.ts';
import { languageKind, type TextConfig } from './language/kinds.ts';

/** Buffers of old versions, and a table that T5 files once had too many. */
const ignored = /(^|\.)position_ids$|\.decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$/;

/** Hugging Face keeps these in float32 when all else is float16. */
const float32 = /^(query_tokens$|qformer\.)|\.wo\.weight$/;

/** The rules of a model that writes text: what is tied, a file has under either name, or both. */
export function generationRules(config: TextConfig): CheckpointRules {
  const words = config.modelType === 'opt' ? 'model.decoder.embed_tokens.weight' : 'shared.weight';
  const others = [
    ...(config.tieWordEmbeddings ? ['lm_head.weight'] : []),
    ...(config.modelType === 't5' ? ['encoder.embed_tokens.weight', 'decoder.embed_tokens.weight'] : []),
  ];
  const aliases = new Map(others.map((name) => [`language_model.${name}`, `language_model.${words}`]));
  return { aliases, ignored, float32 };
}

/** The rules of a model that matches pictures and text. */
export const retrievalRules: CheckpointRules = { aliases: new Map(), ignored, float32 };

/**
 * A configuration that says whether a checkpoint has an output table of its own. T5's do not say so themselves: Hugging Face looks into
 * the file, and takes the word embedding where that has no `lm_head.weight`, or the same one.
 */
export function withOutputTable(config: TextConfig, source: string, prefix: string): TextConfig {
  if (config.modelType !== 't5') return config;
  const file = openWeights(source);
  try {
    const [head, words] = [`${prefix}lm_head.weight`, `${prefix}shared.weight`];
    return { ...config, tieWordEmbeddings: !file.has(head) || isSame(file, head, words) };
  } finally {
    file.close();
  }
}

function isSame(file: TensorFile, a: string, b: string): boolean {
  if (!file.has(b)) return false;
  const [one, other] = [file.info(a), file.info(b)];
  if (one.dtype !== other.dtype || one.shape.join() !== other.shape.join()) return false;
  return scope(() => file.get(a).equal(file.get(b)));
}

/** generation_config.json: the language model's special ids. */
export function generationConfigJson(config: TextConfig): JsonObject {
  return {
    _from_model_config: true,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenId,
    pad_token_id: config.padTokenId,
    ...languageKind(config.modelType).generationConfig(config),
  };
}
