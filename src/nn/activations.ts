import type { Tensor } from '../tensor/index.ts';

/** Activations by the names that checkpoint configurations use. */
const ACTIVATIONS = {
  /** max(x, 0) */
  relu: (x: Tensor): Tensor => x.relu(),
  /** x·Φ(x), through the error function */
  gelu: (x: Tensor): Tensor => x.gelu(),
  /** ½x(1 + tanh(√(2/π)(x + 0.044715x³))) */
  gelu_new: (x: Tensor): Tensor => x.gelu('tanh'),
  gelu_pytorch_tanh: (x: Tensor): Tensor => x.gelu('tanh'),
  /** x·σ(1.702x) */
  quick_gelu: (x: Tensor): Tensor => x.mul(x.mul(1.702).sigmoid()),
  /** x·σ(x) */
  silu: (x: Tensor): Tensor => x.silu(),
  swish: (x: Tensor): Tensor => x.silu(),
} as const;

/** The name of an activation. */
export type ActivationName = keyof typeof ACTIVATIONS;

/** Every known name. */
export const activationNames = Object.keys(ACTIVATIONS) as readonly ActivationName[];

/** The function of that name. */
export function activation(name: ActivationName): (x: Tensor) => Tensor {
  return ACTIVATIONS[name];
}
