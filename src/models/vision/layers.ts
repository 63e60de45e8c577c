import type { Tensor } from '../../tensor/index.ts';

/**
 * Runs x through the layers, one after the other. `states` collects the input and each layer's output; without it they are freed on the
 * way, so that a deep tower without gradients holds one layer's tensors at a time.
 */
export function runLayers(layers: readonly { forward(x: Tensor): Tensor }[], x: Tensor, states?: Tensor[]): Tensor {
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
