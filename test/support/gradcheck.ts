import { Generator, grad, noGrad, randn, scope, type Tensor } from '../../src/tensor/index.ts';

/**
 * Compares the gradients of Σ w·f(x) (w random) with finite differences, all in float64: (f(x + h) − f(x − h)) / 2h a time, for every
 * element of every input. Returns the largest difference, relative to the largest gradient where that is above 1.
 */
export function gradcheck(f: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[], step = 1e-6): number {
  return scope(() => {
    const leaves = inputs.map((input) => input.detach().to('float64').clone().requiresGrad_());
    const out = f(...leaves);
    const weights = randn(out.shape, { dtype: 'float64', generator: new Generator(1) });
    const analytic = grad([out], leaves, { gradOutputs: [weights] });
    let worst = 0;
    let largest = 1;
    leaves.forEach((leaf, i) => {
      const flat = leaf.detach().view(-1);
      const values = (analytic[i] as Tensor).contiguous().data() as Float64Array;
      for (let k = 0; k < flat.numel; k++) {
        const at = (value: number): number => {
          noGrad(() => flat.select(0, k).fill_(value));
          return scope(() =>
            f(...leaves)
              .mul(weights)
              .sum()
              .item(),
          );
        };
        const x = flat.select(0, k).item();
        const numeric = (at(x + step) - at(x - step)) / (2 * step);
        at(x);
        worst = Math.max(worst, Math.abs(numeric - (values[k] as number)));
        largest = Math.max(largest, Math.abs(values[k] as number));
      }
    });
    return worst / largest;
  });
}
