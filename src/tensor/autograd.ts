import { addon } from '../native/load.ts';
import { handlesOf, wrap } from './base.ts';
import { native } from './dispatch.ts';
import type { Tensor } from './tensor.ts';

/** Options of {@link backward} and {@link grad}. */
export interface GradOptions {
  /** Gradients of the outputs; ones for outputs of one element. */
  gradOutputs?: readonly (Tensor | null)[];
  /** Keep the graph for another pass. */
  retainGraph?: boolean;
  /** Record a graph of the gradients themselves. */
  createGraph?: boolean;
}

const gradHandles = (options: GradOptions): (number | null)[] | null =>
  options.gradOutputs?.map((gradient) => (gradient === null ? null : gradient.handle)) ?? null;

/** Adds the gradients of `outputs` to the `grad` of every leaf, or of the given `inputs` only. */
export function backward(outputs: readonly Tensor[], options: GradOptions & { inputs?: readonly Tensor[] } = {}): void {
  const create = options.createGraph ?? false;
  const inputs = options.inputs === undefined ? null : handlesOf(options.inputs);
  native(() => addon.backward(handlesOf(outputs), gradHandles(options), options.retainGraph ?? create, create, inputs));
}

/** The gradients of `outputs` with respect to `inputs`; accumulates nothing. An input that has no part in them is an error. */
export function grad(outputs: readonly Tensor[], inputs: readonly Tensor[], options?: GradOptions): Tensor[];
/** With `allowUnused`, null stands for such an input. */
export function grad(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  options: GradOptions & { allowUnused: true },
): (Tensor | null)[];
export function grad(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  options: GradOptions & { allowUnused?: boolean } = {},
): (Tensor | null)[] {
  const create = options.createGraph ?? false;
  const grads = native(() =>
    addon.grad(
      handlesOf(outputs),
      handlesOf(inputs),
      gradHandles(options),
      options.retainGraph ?? create,
      create,
      options.allowUnused ?? false,
    ),
  );
  return grads.map((handle) => (handle === null ? null : wrap(handle)));
}

/** The gradients that `backward` accumulated in many tensors, in one call; null where there is none. */
export function gradients(tensors: readonly Tensor[]): (Tensor | null)[] {
  return native(() => addon.gradsOf(handlesOf(tensors))).map((handle) => (handle === null ? null : wrap(handle)));
}

/** Lets go of the accumulated gradients of many tensors. */
export function clearGradients(tensors: readonly Tensor[]): void {
  native(() => addon.clearGrads(handlesOf(tensors)));
}
