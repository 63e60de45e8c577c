import { contrastSimilarity, Generator, grad, itcLoss, positivesOf, randn, scope, type Tensor, tensor } from '../../src/index.ts';
import { expectClose, expectGradientClose } from '../closeness.ts';

const pairs = (count: number, offset = 0, total = count) => ({ offset, count, total, device: 'cpu' }) as const;

test('similarity is that of the query that agrees most, and its gradient goes to that query', () => {
  scope(() => {
    const queries = tensor([
      [
        [1, 0],
        [0, 2],
      ],
      [
        [-1, -1],
        [3, 0],
      ],
    ]).requiresGrad_(); // prettier-ignore
    const texts = tensor([
      [1, 1],
      [0, -1],
    ]); // prettier-ignore
    const similarity = contrastSimilarity(queries, texts);
    expect(similarity.toArray()).toEqual([
      [2, 0],
      [3, 1],
    ]); // prettier-ignore
    const [gradient] = grad([similarity.select(1, 0).sum()], [queries]);
    expect((gradient as Tensor).toArray()).toEqual([
      [
        [0, 0],
        [1, 1],
      ],
      [
        [0, 0],
        [1, 1],
      ],
    ]); // prettier-ignore
  });
});

test('the own pair is the positive, wherever the process stands among all', () => {
  scope(() => {
    const { own, mask, several } = positivesOf(pairs(2, 2, 5));
    expect(own.toArray()).toEqual([2, 3]);
    expect(mask.toArray()).toEqual([
      [0, 0, 1, 0, 0],
      [0, 0, 0, 1, 0],
    ]); // prettier-ignore
    expect(several).toBe(false);
  });
});

test('pairs of one picture are positives of each other', () => {
  scope(() => {
    const ids = { own: tensor([7, 9]), all: tensor([9, 9, 7, 9]) };
    expect(positivesOf(pairs(2, 2, 4), ids).mask.toArray()).toEqual([
      [0, 0, 1, 0],
      [1, 1, 0, 1],
    ]); // prettier-ignore
  });
});

/** ½ Σ over both directions of the mean of −Σ_j target_j · log softmax(s)_j. */
function byHand(imageToText: Tensor, textToImage: Tensor, targets: Tensor): Tensor {
  const one = (scores: Tensor): Tensor => scores.logSoftmax(1).mul(targets).sum(1).mean().neg();
  return one(imageToText).add(one(textToImage)).div(2);
}

test.each([
  [
    'the own pair',
    undefined,
    [
      [0.92, 0.04, 0.04],
      [0.04, 0.92, 0.04],
    ],
  ],
  [
    'equal parts where pictures are shared',
    [5, 6, 5],
    [
      [0.48, 0.04, 0.48],
      [0.04, 0.92, 0.04],
    ],
  ],
] as const)('targets are smoothed: %s', (_, all, targets) => {
  // With ε = 0.12 and three columns each gets 0.04; what is left goes to the positives.
  scope(() => {
    const generator = new Generator(1);
    const [a, b] = [randn([2, 3], { generator }).requiresGrad_(), randn([2, 3], { generator }).requiresGrad_()];
    const positives = positivesOf(
      pairs(2, 0, 3),
      all === undefined ? undefined : { own: tensor(all.slice(0, 2)), all: tensor([...all]) },
    );
    const loss = itcLoss(a, b, positives, { labelSmoothing: 0.12 });
    const reference = byHand(a, b, tensor(targets.map((row) => [...row])));
    expectClose(loss, reference, 1e-6);
    for (const [mine, theirs] of zip(grad([loss], [a, b]), grad([reference], [a, b]))) expectGradientClose(mine, theirs, 1e-5);
  });
});

function zip<T>(a: readonly T[], b: readonly T[]): [T, T][] {
  return a.map((value, i) => [value, b[i] as T]);
}
