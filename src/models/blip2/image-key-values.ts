// B pictures, N image tokens, W width of the picture's features.

import type { LayerNorm, Linear, Parameter } from '../../nn/index.ts';
import { checkTensors } from '../../tensor/base.ts';
import { cat, inFloat32, layerNorm, linear, noGrad, scope, type Tensor } from '../../tensor/index.ts';
import { autocastDtype } from '../../tensor/modes.ts';
import type { QFormerHeads } from '../qformer/attention.ts';
import type { CrossKeyValues, KeyValue, QFormerModel } from '../qformer/model.ts';

/** What reads the features of a frozen encoder, and is trained. */
export interface ImageReader {
  /** Over the features; absent where they come normalised. */
  readonly lnVision?: LayerNorm;
  readonly queryTokens: Parameter;
  readonly qformer: QFormerModel;
}

/**
 * Keys and values of every cross-attention from the frozen encoder's features `[B, N, W]`.
 *
 * The LayerNorm's weight γ and bias β are folded into the projections: W·(γ∘x̂ + β) + b = (W∘γ)·x̂ + (W·β + b). The normalised features x̂
 * need no gradient then, which spares the largest product of the backward pass. Each layer has one product for both, of its own: one for all
 * layers would keep all gradients of keys and values until the last of them is there.
 */
export function imageKeyValues({ lnVision, queryTokens, qformer }: ImageReader, features: Tensor): CrossKeyValues {
  checkTensors({ features });
  return scope(() => {
    const normed = normalized(features.detach().to(queryTokens.dtype), lnVision);
    // Once for all layers, as autocast would do it again in each.
    const x = normed.dtype === 'float32' ? normed.to(autocastDtype() ?? 'float32') : normed;
    return qformer.encoder.layer.map(({ crossattention }) => crossattention && keyValue(crossattention.attention, x, lnVision));
  });
}

function keyValue(heads: QFormerHeads, x: Tensor, norm: LayerNorm | undefined): KeyValue {
  return scope(() => {
    const { weight, bias } = inFloat32(x.device, () => folded([heads.key, heads.value], norm));
    const [key, value] = linear(x, weight, bias).chunk(2, 2) as [Tensor, Tensor];
    return { key: heads.split(key).contiguous(), value: heads.split(value).contiguous() };
  });
}

/** x̂: without weight, bias and gradient. */
function normalized(x: Tensor, norm: LayerNorm | undefined): Tensor {
  return norm === undefined ? x : noGrad(() => layerNorm(x, [x.size(-1)], null, null, norm.eps));
}

function folded(linears: readonly Linear[], norm: LayerNorm | undefined): { weight: Tensor; bias: Tensor } {
  const { weight: gamma, bias: beta } = norm ?? {};
  const bias = cat(linears.map((part) => part.bias as Tensor));
  if (gamma == null || beta == null) return { weight: cat(linears.map(({ weight }) => weight)), bias };
  // One by one: the gradients then need the weights as they are, and not all of them once more.
  return {
    weight: cat(linears.map(({ weight }) => weight.mul(gamma))),
    bias: bias.add(cat(linears.map(({ weight }) => weight.matmul(beta)))),
  };
}
