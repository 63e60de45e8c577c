// LAVIS's names of what BLIP-2 trains in its first stage, and ours, which are Hugging Face's where it has the tensor.

/** Rewritings from the most particular on; the first that applies counts. */
const RULES: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  [/^Qformer\.bert\.embeddings\.LayerNorm\./, 'qformer.layernorm.'],
  [/^Qformer\.bert\.embeddings\.(word|position)_embeddings\./, 'embeddings.$1_embeddings.'],
  [/^Qformer\.bert\.encoder\.(layer\.\d+\.(?:attention|crossattention))\.self\./, 'qformer.encoder.$1.attention.'],
  [/^Qformer\.bert\.encoder\./, 'qformer.encoder.'],
  [/^Qformer\.cls\./, 'cls.'],
  [/^vision_proj\./, 'vision_projection.'],
  [/^text_proj\./, 'text_projection.'],
  [/^(?:opt|t5)_proj\./, 'language_projection.'],
  [/^(?:itm_head\.|ln_vision\.|query_tokens$|temp$)/, '$&'],
];

/** A buffer, and what is tied to the word embedding and to the head's own bias. */
const DROPPED = /^Qformer\.(?:bert\.embeddings\.position_ids|cls\.predictions\.decoder\.(?:weight|bias))$/;

/** The name of a tensor of LAVIS's Q-Former, queries or heads; null for one that is no parameter of its own; undefined for any other. */
export function fromLavisName(name: string): string | null | undefined {
  if (DROPPED.test(name)) return null;
  const rule = RULES.find(([pattern]) => pattern.test(name));
  return rule === undefined ? undefined : name.replace(rule[0], rule[1]);
}
