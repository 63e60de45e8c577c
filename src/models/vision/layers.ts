import { LayerNorm, Module } from '../../nn/index.ts';
import { scope, type Tensor } from '../../tensor/index.ts';
import type { VisionShape } from './config.ts';
import { Mlp } from './mlp.ts';

/** Self-attention over all tokens `[B, N, D]`. */
export type Attention = Module & { forward(x: Tensor): Tensor };

/** x + attention(LN₁ x), then + mlp(LN₂ ·); x `[B, N, D]`. */
export class VisionLayer<A extends Attention = Attention> extends Module {
  readonly selfAttn: A;
  readonly layerNorm1: LayerNorm;
  readonly mlp: Mlp;
  readonly layerNorm2: LayerNorm;

  constructor(config: VisionShape, selfAttn: A) {
    super();
    const { hiddenSize, layerNormEps: eps } = config;
    this.selfAttn = selfAttn;
    this.layerNorm1 = new LayerNorm(hiddenSize, { eps });
    this.mlp = new Mlp(hiddenSize, config.intermediateSize, config.hiddenAct, config.initializerRange);
    this.layerNorm2 = new LayerNorm(hiddenSize, { eps });
  }

  forward(x: Tensor): Tensor {
    return scope(() => {
      const attended = x.add(this.selfAttn.forward(this.layerNorm1.forward(x)));
      return attended.add(this.mlp.forward(this.layerNorm2.forward(attended)));
    });
  }
}

/**
 * Runs x through the layers, one after the other. `states` collects the input and each layer's output; without it they are freed on the
 * way, so that a deep tower without gradients holds one layer's tensors at a time.
 */
export function runLayers(layers: readonly VisionLayer[], x: Tensor, states?: Tensor[]): Tensor {
  let current = x;
  states?.push(current);
  for (const layer of layers) {
    const next = layer.forward(current);
    if (states === undefined) current.dispose();
    else states.push(next);
    current = next;
  }
  return current;
}
