import { StateDictError } from '../../../nn/index.ts';
import { cat, type Tensor, zerosLike } from '../../../tensor/index.ts';

/** Rewritings of LAVIS's names (`visual_encoder.…`, without that prefix in the encoder's own file) to ours. */
const RULES: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  [/^cls_token$/, 'embeddings.class_embedding'],
  [/^pos_embed$/, 'embeddings.position_embedding'],
  [/^patch_embed\.proj\./, 'embeddings.patch_embedding.'],
  [/^blocks\.(\d+)\.norm([12])\./, 'encoder.layers.$1.layer_norm$2.'],
  [/^blocks\.(\d+)\.attn\.qkv\./, 'encoder.layers.$1.self_attn.qkv.'],
  [/^blocks\.(\d+)\.attn\.proj\./, 'encoder.layers.$1.self_attn.projection.'],
  [/^blocks\.(\d+)\.mlp\./, 'encoder.layers.$1.mlp.'],
];

const Q_BIAS = /^blocks\.(\d+)\.attn\.q_bias$/;

/**
 * The state dict of a `VisionModel` of `layers` blocks from EVA-CLIP's weights under LAVIS's names. Further blocks and the head of the
 * file are left out; `q_bias`, which has no key part there, becomes `qkv.bias`. The last LayerNorm is not among EVA's weights: give
 * `ln_vision.weight` and `.bias` beside them where there is one.
 */
export function fromLavisVision(weights: ReadonlyMap<string, Tensor>, layers: number): Map<string, Tensor> {
  const state = new Map<string, Tensor>();
  for (const [full, value] of weights) {
    const name = full.replace(/^visual_encoder\./, '');
    const block = /^blocks\.(\d+)\./.exec(name)?.[1];
    if (block !== undefined && Number(block) >= layers) continue;
    const q = Q_BIAS.exec(name);
    if (q !== null) {
      const partner = full.replace(/q_bias$/, 'v_bias');
      const v = weights.get(partner);
      if (v === undefined) throw new StateDictError([partner], [], []);
      state.set(`encoder.layers.${q[1]}.self_attn.qkv.bias`, cat([value, zerosLike(value), v]));
    } else if (name.startsWith('ln_vision.')) {
      state.set(name.replace('ln_vision', 'post_layernorm'), value);
    } else {
      const rule = RULES.find(([pattern]) => pattern.test(name));
      if (rule !== undefined) state.set(name.replace(rule[0], rule[1]), value);
    }
  }
  return state;
}
