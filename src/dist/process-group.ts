import type { Tensor } from '../tensor/index.ts';

/** The processes that train together, each with its own part of the batch. */
export interface ProcessGroup {
  /** This process's number, from 0. */
  readonly rank: number;
  /** How many processes there are. */
  readonly size: number;
  /**
   * The tensors of all ranks, `[n, …]` each and of one shape, in the order of ranks: `[size·n, …]`. No gradient flows back, on one rank
   * neither.
   */
  gather(x: Tensor): Tensor;
  /** The same, and each rank's part of the gradient, summed over the ranks, flows back to it. */
  gatherWithGradient(x: Tensor): Tensor;
}

/** A process alone: gathering is the identity. */
export const alone: ProcessGroup = {
  rank: 0,
  size: 1,
  gather: (x) => x.detach(),
  gatherWithGradient: (x) => x,
};
