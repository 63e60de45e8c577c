import { grad, lmLoss, randn, scope, type Tensor, tensor, tokenLoss } from '../../src/index.ts';
import { expectClose } from '../closeness.ts';

/** (1 − ε)·(−log p_y) + ε/V·Σ(−log p), a token at a time. */
function byHand(logits: Tensor, targets: readonly number[], smoothing: number): number {
  const logs = logits.logSoftmax(1).neg().toArray() as number[][];
  const losses = targets.flatMap((target, i) => {
    const row = logs[i] as number[];
    if (target < 0) return [];
    const all = row.reduce((sum, value) => sum + value) / row.length;
    return [(1 - smoothing) * (row[target] as number) + smoothing * all];
  });
  return losses.reduce((sum, loss) => sum + loss, 0) / Math.max(1, losses.length);
}

test.each([0, 0.1])('smoothed by %d, over what counts', (labelSmoothing) => {
  scope(() => {
    const logits = randn([4, 7]);
    const loss = tokenLoss(logits, tensor([2n, -100n, 0n, 6n]), { labelSmoothing });
    expect(loss.item()).toBeCloseTo(byHand(logits, [2, -100, 0, 6], labelSmoothing), 5);
  });
});

test('each position predicts the next', () => {
  scope(() => {
    const logits = randn([2, 3, 5]);
    const labels = tensor([
      [4n, 1n, 3n],
      [4n, 2n, -100n],
    ]); // prettier-ignore
    const used = logits.narrow(1, 0, 2).flatten(0, 1);
    expectClose(lmLoss(logits, labels), tokenLoss(used, tensor([1n, 3n, 2n, -100n])), 1e-6);
  });
});

test('nothing to learn is a loss of 0, and a gradient of 0', () => {
  scope(() => {
    const logits = randn([2, 5]).requiresGrad_();
    const loss = tokenLoss(logits, tensor([-100n, -100n]));
    expect(loss.item()).toBe(0);
    expect((grad([loss], [logits])[0] as Tensor).abs().max().item()).toBe(0);
  });
});
