// B pictures, N image tokens, W width of the picture's features.

import type { LayerNorm, Linear, Parameter } from '../../nn/index.ts';
import { checkTensors } from '../../tensor/base.ts';
import { cat, inFloat32, layerNorm, linear, noGrad, scope, type Tensor } from '../../tensor/index.ts';
import type { CrossKeyValues, QFormerModel } from '../qformer/model.ts';

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
 * need no gradient then, which spares the largest product of the backward pass. All layers' projections are one product.
 */
export function imageKeyValues({ lnVision, queryTokens, qformer }: ImageReader, features: Tensor): CrossKeyValues {
  checkTensors({ features });
  return scope(() => {
    const heads = qformer.encoder.layer.map((layer) => layer.crossattention?.attention);
    const linears = heads.flatMap((head) => (head === undefined ? [] : [head.key, head.value]));
    const { weight, bias } = inFloat32(features.device, () => folded(linears, lnVision));
    const projected = linear(normalized(features.detach().to(queryTokens.dtype), lnVision), weight, bias).chunk(
      linears.length,
      2,
    );
    const next = (): Tensor => projected.shift() as Tensor;
    return heads.map((head) => head && { key: head.split(next()).contiguous(), value: head.split(next()).contiguous() });
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
