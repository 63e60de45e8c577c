import { ArgumentError } from '../../native/errors.ts';
import { handleOrNull, handlesOf, wrapAll } from '../base.ts';
import { checkObject, kindOf } from '../check.ts';
import { callInPlace, callMany, operator } from '../dispatch.ts';
import type { Tensor } from '../tensor.ts';

const FOREACH_NORM = operator('_foreach_norm.Scalar');
const FOREACH_MUL_ = operator('_foreach_mul_.Tensor');
const FUSED_ADAMW_ = operator('_fused_adamw_');
const UNSCALE_ = operator('_amp_foreach_non_finite_check_and_unscale_');
const UPDATE_SCALE_ = operator('_amp_update_scale_');

/** The vector 2-norm of every tensor of a list. */
export function foreachNorm(tensors: readonly Tensor[]): Tensor[] {
  return wrapAll(callMany(FOREACH_NORM, handlesOf(tensors), 2));
}

/** Multiplies every tensor of a list by a factor that is itself a tensor of one element. */
export function foreachMul_(tensors: readonly Tensor[], factor: Tensor): void {
  callInPlace(FOREACH_MUL_, handlesOf(tensors), factor?.handle);
}

/** What {@link fusedAdamW_} works on, one entry a parameter; all of one dtype on one device. */
export interface FusedAdamWLists {
  /** What is moved. */
  parameters: readonly Tensor[];
  /** Of the same shapes. */
  gradients: readonly Tensor[];
  /** Moving averages of the gradients. */
  averages: readonly Tensor[];
  /** Moving averages of their squares. */
  squares: readonly Tensor[];
  /** Steps taken so far, float32 of one element each; counted up. */
  steps: readonly Tensor[];
}

/** PyTorch's fused AdamW step over lists of tensors. Where `skip`, a float32 of one element, is 1, it leaves all of them as they are. */
export function fusedAdamW_(
  lists: FusedAdamWLists,
  options: { lr: number; betas: readonly [number, number]; weightDecay: number; eps: number },
  skip?: Tensor,
): void {
  checkObject(lists, 'lists');
  checkObject(options);
  const { lr, betas, weightDecay, eps } = options;
  if (!Array.isArray(betas)) throw new ArgumentError('betas', 'two numbers', kindOf(betas));
  callInPlace(
    FUSED_ADAMW_,
    handlesOf(lists.parameters, 'parameters'),
    handlesOf(lists.gradients, 'gradients'),
    handlesOf(lists.averages, 'averages'),
    handlesOf(lists.squares, 'squares'),
    [],
    handlesOf(lists.steps, 'steps'),
    lr,
    betas[0],
    betas[1],
    weightDecay,
    eps,
    false,
    false,
    null,
    handleOrNull(skip, 'skip'),
  );
}

/** Multiplies every tensor of a list by `factor`, and sets `found` to 1 where one of them holds what is not finite; both are float32 `[1]`. */
export function foreachUnscale_(tensors: readonly Tensor[], found: Tensor, factor: Tensor): void {
  callInPlace(UNSCALE_, handlesOf(tensors), found?.handle, factor?.handle);
}

/**
 * Next loss scale, as PyTorch's GradScaler has it: times `backoff` where `found` is 1; times `growth` after `interval` steps without, which
 * `tracker`, an int32 `[1]`, counts.
 */
export function updateScale_(
  scale: Tensor,
  tracker: Tensor,
  found: Tensor,
  options: { growth: number; backoff: number; interval: number },
): void {
  checkObject(options);
  callInPlace(UPDATE_SCALE_, scale?.handle, tracker?.handle, found?.handle, options.growth, options.backoff, options.interval);
}
