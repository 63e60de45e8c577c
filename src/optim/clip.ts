import { ArgumentError } from '../native/errors.ts';
import { gradients, noGrad, scope, stack, type Tensor, zeros } from '../tensor/index.ts';
import { foreachMul_, foreachNorm } from '../tensor/ops/foreach.ts';

/**
 * Scales all gradients by min(1, maxNorm / (norm + 1e-6)), norm being the 2-norm of them all together.
 * Nothing waits for the device. Returns the norm before scaling, a tensor of one element.
 */
export function clipGradNorm(parameters: readonly Tensor[], maxNorm: number): Tensor {
  if (!(maxNorm > 0)) throw new ArgumentError('maxNorm', 'a number above 0', String(maxNorm));
  return noGrad(() =>
    scope(() => {
      const grads = gradients(parameters).filter((gradient) => gradient !== null);
      const norm = normOf(grads);
      if (grads.length > 0) foreachMul_(grads, norm.add(1e-6).reciprocal().mul(maxNorm).clamp(null, 1));
      return norm;
    }),
  );
}

/** The 2-norm of all gradients together, a tensor of one element; nothing waits for the device. */
export function gradNorm(parameters: readonly Tensor[]): Tensor {
  return noGrad(() => scope(() => normOf(gradients(parameters).filter((gradient) => gradient !== null))));
}

function normOf(grads: readonly Tensor[]): Tensor {
  return grads.length === 0 ? zeros([]) : stack(foreachNorm(grads)).norm();
}
