import { cat, type Tensor } from '../../../tensor/index.ts';
import type { CheckpointRules } from '../../checkpoint.ts';
import { Renaming } from '../../renaming.ts';
import type { NamedTensor, Origin } from '../../transfer.ts';
import { interpolatePositions } from '../pixels.ts';
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

/** CLIP's own names, which LAVIS puts `visual_encoder.` before, and ours. */
const names = new Renaming([
  ['class_embedding', 'embeddings.class_embedding'],
  ['positional_embedding', 'embeddings.position_embedding.weight'],
  ['conv1.*', 'embeddings.patch_embedding.*'],
  ['ln_pre.*', 'pre_layrnorm.*'],
  ['transformer.resblocks.#.ln_1.*', 'encoder.layers.#.layer_norm1.*'],
  ['transformer.resblocks.#.ln_2.*', 'encoder.layers.#.layer_norm2.*'],
  ['transformer.resblocks.#.attn.out_proj.*', 'encoder.layers.#.self_attn.out_proj.*'],
  ['transformer.resblocks.#.mlp.c_fc.*', 'encoder.layers.#.mlp.fc1.*'],
  ['transformer.resblocks.#.mlp.c_proj.*', 'encoder.layers.#.mlp.fc2.*'],
]);

const IN_PROJ = /^encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\.(weight|bias)$/;

/** What of CLIP's file BLIP-2 has no use for, besides blocks after its own. */
export const CLIP_HEAD = /^(?:ln_post\.|proj$)/;

/**
 * Where a `ClipVisionModel`'s parameter comes from. Queries, keys and values are one projection there, and the position table is resized
 * to the tower's pictures, with aligned corners.
 */
export function clipOrigin(name: string): Origin | undefined {
  const [, block, which = '', kind] = IN_PROJ.exec(name) ?? [];
  if (block !== undefined) {
    const make = ([all]: readonly Tensor[]): Tensor | undefined => {
      const rows = (all as Tensor).size(0) / 3;
      return Number.isInteger(rows) ? (all as Tensor).narrow(0, 'qkv'.indexOf(which) * rows, rows) : undefined;
    };
    return { from: [`transformer.resblocks.${block}.attn.in_proj_${kind}`], make };
  }
  const theirs = names.toTheirs(name);
  if (theirs === undefined) return undefined;
  if (theirs !== 'positional_embedding') return { from: [theirs] };
  const make = ([table]: readonly Tensor[], current: Tensor): Tensor => {
    const side = Math.floor(Math.sqrt(current.size(0) - 1));
    return interpolatePositions((table as Tensor).unsqueeze(0), side, side, { alignCorners: true }).squeeze(0);
  };
  return { from: [theirs], make };
}

/**
 * A `ClipVisionModel`'s parameter under CLIP's names; undefined for one that it has not. Queries, keys and values are written with the
 * queries, and nothing with the other two.
 * @param other another parameter's value
 */
export function toClip(
  name: string,
  value: Tensor,
  other: (name: string) => Tensor | undefined,
): readonly NamedTensor[] | undefined {
  const [, block, which, kind] = IN_PROJ.exec(name) ?? [];
  if (block !== undefined) {
    if (which !== 'q') return [];
    const parts = [...'qkv'].map((part) => other(`encoder.layers.${block}.self_attn.${part}_proj.${kind}`) as Tensor);
    return [[`transformer.resblocks.${block}.attn.in_proj_${kind}`, cat(parts)]];
  }
  const theirs = names.toTheirs(name);
  return theirs === undefined ? undefined : [[theirs, value]];
}
