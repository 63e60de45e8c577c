import type { Tensor } from '../tensor/index.ts';

/** What an {@link Objective} makes of a batch. */
export interface StepLosses {
  /** What is minimised: the sum of the losses, each with its weight and its share. */
  readonly loss: Tensor;
  /** The losses by name, neither weighted nor shared: numbers `[]`, each the mean over what {@link Objective.counts} counts. */
  readonly losses: Readonly<Record<string, Tensor>>;
  /** What else is worth a look, numbers `[]` without gradients; of a step of several batches their mean is logged. */
  readonly statistics?: Readonly<Record<string, Tensor>>;
}

/**
 * What a run trains for: a batch in, named losses out. It must be the same function whenever the generators stand where they stood, so that
 * a step can be repeated; it must not wait for the device, and may leave tensors behind, which the step's scope frees.
 *
 * @typeParam B a batch as the data gives it
 * @typeParam P the same, prepared
 */
export interface Objective<B, P = B> {
  /** How many samples a batch holds. */
  size(batch: B): number;
  /**
   * How many items each loss is the mean of: pairs, tokens. A step of several batches weighs their losses by these, so that it equals one
   * of the great batch wherever a loss is a mean over independent items.
   */
  counts(batch: B): Readonly<Record<string, number>>;
  /** What needs neither gradients nor autocast, such as a frozen encoder's features. */
  prepare(batch: B): P;
  /** @param shares each loss's part of its step, 1 for the only batch of one; absent for 1 */
  losses(prepared: P, shares: Readonly<Record<string, number>>): StepLosses;
}
