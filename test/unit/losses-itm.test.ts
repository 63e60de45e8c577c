import { drawNegatives, eye, Generator, grad, itmLoss, randn, scope, type Tensor, tensor, zeros } from '../../src/index.ts';

const booleans = (rows: number[][]): Tensor => tensor(rows.map((row) => row.map((value) => value === 1)));

/** How often each column was drawn of one row's scores. */
function draws(scores: number[], positives: number[], times: number): number[] {
  return scope(() => {
    const many = tensor(scores).unsqueeze(0).expand(times, -1);
    const index = drawNegatives(many, booleans([positives]), new Generator(11));
    const counts = new Array<number>(scores.length).fill(0);
    for (const column of index.toArray() as number[]) counts[column] = (counts[column] as number) + 1;
    return counts;
  });
}

describe('mining', () => {
  test('follows the softmax of the scores that are no positives', () => {
    const [scores, positives, times] = [[2, 0, 1, -1, 1.5], [0, 1, 0, 0, 0], 40_000];
    const weights = scores.map((score, i) => (positives[i] === 1 ? 0 : Math.exp(score)));
    const total = weights.reduce((sum, weight) => sum + weight);
    const counts = draws(scores, positives, times);
    expect(counts[1]).toBe(0);
    // Pearson's χ² with 3 degrees of freedom: above 21.1 in one of ten thousand.
    const chi = weights.reduce((sum, weight, i) => {
      const expected = (times * weight) / total;
      return expected === 0 ? sum : sum + ((counts[i] as number) - expected) ** 2 / expected;
    }, 0);
    expect(chi).toBeLessThan(21.1);
    expect(chi).toBeGreaterThan(0);
  });

  test('never draws a positive, however much it is favoured', () => {
    scope(() => {
      const generator = new Generator(3);
      const ids = tensor([1, 1, 2, 3, 2, 1, 4, 4]);
      const positives = ids.unsqueeze(1).eq(ids);
      for (let i = 0; i < 200; i++) {
        scope(() => {
          // Temperatures of training reach scores of a hundred and more.
          const scores = randn([8, 8], { generator }).mul(100).add(positives.float().mul(1000));
          const drawn = positives.gather(1, drawNegatives(scores, positives, generator).unsqueeze(1));
          expect(drawn.any().item()).toBe(0);
        });
      }
    });
  });

  test('rows are drawn apart, and the same seed draws the same', () => {
    scope(() => {
      const draw = (seed: number): number[] => {
        const positives = eye(64).bool();
        return drawNegatives(zeros([64, 64]), positives, new Generator(seed)).toArray() as number[];
      };
      expect(draw(1)).toEqual(draw(1));
      expect(draw(1)).not.toEqual(draw(2));
      expect(new Set(draw(1)).size).toBeGreaterThan(20);
    });
  });

  test('a row of positives alone draws some column, and nothing fails', () => {
    scope(() => {
      const index = drawNegatives(
        randn([2, 2]),
        booleans([
          [1, 1],
          [1, 0],
        ]),
      ).toArray() as number[]; // prettier-ignore
      expect(index[0]).toBeGreaterThanOrEqual(0);
      expect(index[0]).toBeLessThan(2);
      expect(index[1]).toBe(1);
    });
  });
});

describe('the two-way loss', () => {
  test('is the mean of log(1 + e^(wrong − right))', () => {
    scope(() => {
      const logits = tensor([
        [0, 2],
        [1, -1],
        [0.5, 1],
      ]); // prettier-ignore
      const expected = [-2, -2, 0.5].reduce((sum, lead) => sum + Math.log1p(Math.exp(lead)), 0) / 3;
      expect(itmLoss(logits, tensor([1n, 0n, 0n])).item()).toBeCloseTo(expected, 6);
    });
  });

  test('counts valid pairs alone, in value and gradient', () => {
    scope(() => {
      const logits = tensor([
        [0, 2],
        [9, -9],
        [0.5, 1],
      ]).requiresGrad_(); // prettier-ignore
      const loss = itmLoss(logits, tensor([1n, 1n, 0n]), tensor([true, false, true]));
      expect(loss.item()).toBeCloseTo((Math.log1p(Math.exp(-2)) + Math.log1p(Math.exp(0.5))) / 2, 6);
      const [gradient] = grad([loss], [logits]);
      expect((gradient as Tensor).select(0, 1).abs().toArray()).toEqual([0, 0]);
    });
  });

  test('is 0 where none is', () => {
    scope(() => expect(itmLoss(tensor([[0, 1]]), tensor([1n]), tensor([false])).item()).toBe(0));
  });
});
