import { Renaming } from '../renaming.ts';

/** LAVIS's names of what BLIP-2 trains in its first stage, and ours, which are Hugging Face's where it has the tensor. */
export const qformerNames = new Renaming([
  ['Qformer.bert.embeddings.LayerNorm.*', 'qformer.layernorm.*'],
  ['Qformer.bert.embeddings.word_embeddings.*', 'embeddings.word_embeddings.*'],
  ['Qformer.bert.embeddings.position_embeddings.*', 'embeddings.position_embeddings.*'],
  ['Qformer.bert.encoder.layer.#.attention.self.*', 'qformer.encoder.layer.#.attention.attention.*'],
  ['Qformer.bert.encoder.layer.#.crossattention.self.*', 'qformer.encoder.layer.#.crossattention.attention.*'],
  ['Qformer.bert.encoder.*', 'qformer.encoder.*'],
  ['Qformer.cls.*', 'cls.*'],
  ['vision_proj.*', 'vision_projection.*'],
  ['text_proj.*', 'text_projection.*'],
  ['itm_head.*', 'itm_head.*'],
  ['ln_vision.*', 'ln_vision.*'],
  ['query_tokens', 'query_tokens'],
  ['temp', 'temp'],
]);

/** A buffer, and what is tied to the word embedding and to the head's own bias. */
const DROPPED = /^Qformer\.(?:bert\.embeddings\.position_ids|cls\.predictions\.decoder\.(?:weight|bias))$/;

/** The name of a tensor of LAVIS's Q-Former, queries or heads; null for one that is no parameter of its own; undefined for any other. */
export function fromLavisName(name: string): string | null | undefined {
  return DROPPED.test(name) ? null : qformerNames.toOurs(name);
}
