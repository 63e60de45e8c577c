import { cat, type Tensor, zerosLike } from '../../../tensor/index.ts';
import { Renaming } from '../../renaming.ts';
import type { NamedTensor, Origin } from '../../transfer.ts';
import { interpolatePositions } from '../pixels.ts';

/** EVA-CLIP's names, which LAVIS puts `visual_encoder.` before, and ours. */
const names = new Renaming([
  ['cls_token', 'embeddings.class_embedding'],
  ['pos_embed', 'embeddings.position_embedding'],
  ['patch_embed.proj.*', 'embeddings.patch_embedding.*'],
  ['blocks.#.norm1.*', 'encoder.layers.#.layer_norm1.*'],
  ['blocks.#.norm2.*', 'encoder.layers.#.layer_norm2.*'],
  ['blocks.#.attn.qkv.weight', 'encoder.layers.#.self_attn.qkv.weight'],
  ['blocks.#.attn.proj.*', 'encoder.layers.#.self_attn.projection.*'],
  ['blocks.#.mlp.*', 'encoder.layers.#.mlp.*'],
]);

const QKV_BIAS = /^encoder\.layers\.(\d+)\.self_attn\.qkv\.bias$/;

/** What of EVA-CLIP's file BLIP-2 has no use for, besides blocks after its own. */
export const EVA_HEAD = /^(?:norm|fc_norm|head|lm_head)\.|^mask_token$/;

/** Where a `VisionModel`'s parameter comes from. Keys have no bias there, and the position table is resized to the tower's pictures. */
export function evaOrigin(name: string): Origin | undefined {
  const [, block] = QKV_BIAS.exec(name) ?? [];
  if (block !== undefined) {
    const make = ([q, v]: readonly Tensor[]): Tensor => cat([q as Tensor, zerosLike(q as Tensor), v as Tensor]);
    return { from: [`blocks.${block}.attn.q_bias`, `blocks.${block}.attn.v_bias`], make };
  }
  const theirs = names.toTheirs(name);
  if (theirs === undefined) return undefined;
  if (theirs !== 'pos_embed') return { from: [theirs] };
  return { from: [theirs], make: ([table], current) => interpolatePositions(table as Tensor, ...gridOf(current.size(1) - 1)) };
}

/** A `VisionModel`'s parameter under EVA-CLIP's names; undefined for one that it has not. */
export function toEva(name: string, value: Tensor): readonly NamedTensor[] | undefined {
  const [, block] = QKV_BIAS.exec(name) ?? [];
  if (block !== undefined) {
    // The keys' bias adds the same to all scores of a query, which softmax does not see: nothing is lost with it.
    const [q, , v] = value.chunk(3) as [Tensor, Tensor, Tensor];
    return [
      [`blocks.${block}.attn.q_bias`, q],
      [`blocks.${block}.attn.v_bias`, v],
    ];
  }
  const theirs = names.toTheirs(name);
  return theirs === undefined ? undefined : [[theirs, value]];
}

function gridOf(patches: number): [height: number, width: number] {
  const side = Math.floor(Math.sqrt(patches));
  return [side, side];
}
