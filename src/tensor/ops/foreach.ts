import { handlesOf, wrapAll } from '../base.ts';
import { callInPlace, callMany, operator } from '../dispatch.ts';
import type { Tensor } from '../tensor.ts';

const FOREACH_NORM = operator('_foreach_norm.Scalar');
const FOREACH_MUL_ = operator('_foreach_mul_.Tensor');
const FUSED_ADAMW_ = operator('_fused_adamw_');

/** The vector 2-norm of every tensor of a list. */
export function foreachNorm(tensors: readonly Tensor[]): Tensor[] {
  return wrapAll(callMany(FOREACH_NORM, handlesOf(tensors), 2));
}

/** Multiplies every tensor of a list by a factor that is itself a tensor of one element. */
export function foreachMul_(tensors: readonly Tensor[], factor: Tensor): void {
  callInPlace(FOREACH_MUL_, handlesOf(tensors), factor.handle);
}

/** What {@link fusedAdamW_} works on, one entry a parameter; all of one dtype on one device. */
export interface FusedAdamWLists {
  parameters: readonly Tensor[];
  gradients: readonly Tensor[];
  averages: readonly Tensor[];
  squares: readonly Tensor[];
  steps: readonly Tensor[];
}

/** PyTorch's fused AdamW step over lists of tensors. */
export function fusedAdamW_(
  lists: FusedAdamWLists,
  options: { lr: number; betas: readonly [number, number]; weightDecay: number; eps: number },
): void {
  const { lr, betas, weightDecay, eps } = options;
  callInPlace(
    FUSED_ADAMW_,
    handlesOf(lists.parameters),
    handlesOf(lists.gradients),
    handlesOf(lists.averages),
    handlesOf(lists.squares),
    [],
    handlesOf(lists.steps),
    lr,
    betas[0],
    betas[1],
    weightDecay,
    eps,
    false,
    false,
  );
}
