import type { CheckpointRules } from '../../checkpoint.ts';
import type { ClipVisionConfig } from './config.ts';

/**
 * How Hugging Face's CLIP checkpoints differ from a `ClipVisionModel`'s state dict: the vision tower's names may begin with
 * `vision_model.`, its last block and LayerNorm do not run in BLIP-2, and there may be a text tower.
 */
export function clipRules(config: ClipVisionConfig, names: Iterable<string>): CheckpointRules {
  const prefix = 'vision_model.';
  const aliases = new Map<string, string>();
  for (const name of names) aliases.set(`${prefix}${name}`, name);
  const last = config.numHiddenLayers - 1;
  const unused = `(?:${prefix})?(?:encoder\\.layers\\.${last}\\.|post_layernorm\\.|embeddings\\.position_ids$)`;
  const ignored = new RegExp(`^(?:${unused}|text_model\\.|(?:visual|text)_projection\\.|logit_scale$)`);
  return { aliases, ignored, float32: /(?!)/ };
}
