import { scope, type Tensor } from '../src/index.ts';

/** How far a tensor lies from its golden: the greatest difference, what it may be, and the same for the 2-norm. */
function distance(actual: Tensor, expected: Tensor): { most: number; reference: number; norm: number; referenceNorm: number } {
  expect(actual.shape).toEqual(expected.shape);
  return scope(() => {
    const [a, b] = [actual.detach().to('float64'), expected.detach().to('float64')];
    const difference = a.sub(b);
    return {
      most: difference.numel === 0 ? 0 : difference.abs().max().item(),
      reference: b.numel === 0 ? 0 : b.abs().max().item(),
      norm: difference.norm().item(),
      referenceNorm: b.norm().item(),
    };
  });
}

/** Forward results: max|Δ| ≤ tolerance · max(1, max|reference|); 1e-5 is that of float32. */
export function expectClose(actual: Tensor, expected: Tensor, tolerance = 1e-5): void {
  const { most, reference } = distance(actual, expected);
  expect(most).toBeLessThanOrEqual(tolerance * Math.max(1, reference));
}

/** Gradients: ‖Δ‖ ≤ tolerance · ‖reference‖ + 1e-7 · √n; 1e-4 is that of float32. */
export function expectGradientClose(actual: Tensor, expected: Tensor, tolerance = 1e-4): void {
  const { norm, referenceNorm } = distance(actual, expected);
  expect(norm).toBeLessThanOrEqual(tolerance * referenceNorm + 1e-7 * Math.sqrt(expected.numel));
}

/** Every bit the same. */
export function expectEqual(actual: Tensor, expected: Tensor): void {
  expect(actual.dtype).toBe(expected.dtype);
  expect(actual.shape).toEqual(expected.shape);
  expect(actual.data()).toEqual(expected.data());
}
