import { ArgumentError } from '../native/errors.ts';
import { addon } from '../native/load.ts';
import { describe, handleOrNull, handlesOf, wrap } from './base.ts';
import { checkObject } from './check.ts';
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

function gradHandles({ gradOutputs }: GradOptions): (number | null)[] | null {
  if (gradOutputs === undefined || gradOutputs === null) return null;
  if (!Array.isArray(gradOutputs)) throw new ArgumentError('gradOutputs', 'an array of tensors and nulls', describe(gradOutputs));
  return gradOutputs.map((gradient) => handleOrNull(gradient, 'gradOutputs'));
}

/** Adds the gradients of `outputs` to the `grad` of every leaf, or of the given `inputs` only. */
export function backward(outputs: readonly Tensor[], options: GradOptions & { inputs?: readonly Tensor[] } = {}): void {
  checkObject(options);
  const create = options.createGraph ?? false;
  const inputs = options.inputs === undefined ? null : handlesOf(options.inputs, 'inputs');
  native(() =>
    addon.backward(handlesOf(outputs, 'outputs'), gradHandles(options), options.retainGraph ?? create, create, inputs),
  );
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
  checkObject(options);
  const create = options.createGraph ?? false;
  const grads = native(() =>
    addon.grad(
      handlesOf(outputs, 'outputs'),
      handlesOf(inputs, 'inputs'),
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
