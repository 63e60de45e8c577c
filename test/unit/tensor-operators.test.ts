import {
  binaryCrossEntropyWithLogits,
  cosineSimilarity,
  fullLike,
  l1Loss,
  mseLoss,
  ones,
  scope,
  type Tensor,
  tensor,
  where,
  zeros,
} from '../../src/tensor/index.ts';

const x = tensor([
  [1, -2, 3],
  [4, 5, -6],
]);
const y = tensor([2, 3, 4]);
const whole = tensor([5n, 3n, 12n]);
const close = (got: Tensor, wanted: unknown): void => {
  const flat = (value: unknown): number[] => (Array.isArray(value) ? value.flatMap(flat) : [Number(value)]);
  const [a, b] = [flat(got.toArray()), flat(wanted)];
  expect(a).toHaveLength(b.length);
  for (const [i, value] of a.entries()) expect(value).toBeCloseTo(b[i] as number, 4);
};

// What the name says of a few numbers, worked out by hand.
test.each<[string, () => Tensor, unknown]>([
  [
    'add with alpha',
    () => x.add(y, 10),
    [
      [21, 28, 43],
      [24, 35, 34],
    ],
  ],
  ['sub of a number with alpha', () => y.sub(1, 3), [-1, 0, 1]],
  ['rsub', () => y.rsub(1), [-1, -2, -3]],
  [
    'div, floored and cut off',
    () => x.div(2, 'floor').sub(x.div(2, 'trunc')),
    [
      [0, 0, 0],
      [0, 0, 0],
    ],
  ],
  ['div floored of negatives', () => tensor([-7]).div(2, 'floor'), [-4]],
  ['div cut off, of tensors', () => tensor([-7]).div(tensor([2]), 'trunc'), [-3]],
  ['remainder has the sign of the divisor', () => tensor([-7, 7]).remainder(4), [1, 3]],
  ['fmod has the sign of the dividend', () => tensor([-7, 7]).fmod(4), [-3, 3]],
  ['pow of tensors', () => y.pow(y), [4, 27, 256]],
  ['expm1 and log1p', () => tensor([1e-3]).expm1().log1p(), [1e-3]],
  [
    'atan2 and tan',
    () =>
      tensor([1])
        .atan2(tensor([1]))
        .tan(),
    [1],
  ],
  ['softplus', () => tensor([0, 30]).softplus(), [Math.log(2), 30]],
  ['leakyRelu', () => tensor([-1, 2]).leakyRelu(0.5), [-0.5, 2]],
  [
    'reciprocal, rsqrt',
    () =>
      tensor([4])
        .reciprocal()
        .add(tensor([4]).rsqrt()),
    [0.75],
  ],
  ['round, half to even', () => tensor([0.5, 1.5, -2.5]).round(), [0, 2, -2]],
  [
    'clamp on one side',
    () => x.clamp(null, 1),
    [
      [1, -2, 1],
      [1, 1, -6],
    ],
  ],
  ['lerp', () => zeros([1]).lerp(ones([1]), 0.25), [0.25]],
  [
    'addcmul, addcdiv',
    () =>
      ones([1])
        .addcmul(tensor([2]), tensor([3]), 2)
        .addcdiv(tensor([1]), tensor([4])),
    [13.25],
  ],
  [
    'where',
    () => where(x.gt(0), x, zeros([1])),
    [
      [1, 0, 3],
      [4, 5, 0],
    ],
  ],
  [
    'where with a number',
    () => x.where(x.gt(0), 9),
    [
      [1, 9, 3],
      [4, 5, 9],
    ],
  ],
  ['logical operators', () => tensor([true, true, false]).logicalXor(tensor([true, false, false])), [0, 1, 0]],
  ['bits', () => whole.bitwiseAnd(tensor([4n, 1n, 8n])).add(whole.bitwiseOr(tensor([2n, 4n, 1n]))), [11, 8, 21]],
  ['bits, exclusive and inverted', () => whole.bitwiseXor(whole.bitwiseNot()), [-1, -1, -1]],
  ['nanToNum', () => tensor([Number.NaN, 1 / 0, -1 / 0]).nanToNum(7, 8, 9), [7, 8, 9]],
  [
    'isinf, isnan, isfinite',
    () =>
      tensor([Number.NaN, 1 / 0, 1])
        .isinf()
        .add(tensor([1, 0, 0]).isnan()),
    [0, 1, 0],
  ],
  ['sum over dimensions', () => x.sum([0, 1], true), [[5]]],
  ['prod', () => x.prod(1), [-6, -120]],
  ['cumprod, cumsum', () => y.cumprod(0).add(y.cumsum(0)), [4, 11, 33]],
  ['nansum', () => tensor([1, Number.NaN]).nansum(), 1],
  ['median', () => tensor([3, 1, 2, 9]).median(), 2],
  ['countNonzero', () => tensor([0, 1, 2]).countNonzero(), 2],
  ['unique', () => tensor([3n, 1n, 3n]).unique(), [1, 3]],
  ['bincount', () => tensor([0n, 2n, 2n]).bincount(4), [1, 0, 2, 0]],
  [
    'var and std',
    () =>
      tensor([1, 3])
        .var()
        .add(tensor([1, 3]).std(null, 0)),
    3,
  ],
  ['norm', () => tensor([3, 4]).norm(), 5],
  ['argsort', () => tensor([3, 1, 2]).argsort(), [1, 2, 0]],
  ['any and all', () => x.gt(4).any(1).add(x.gt(-9).all(1)), [1, 1]],
  [
    'mm, dot, t',
    () => x.mm(x.t()).add(y.dot(y)),
    [
      [43, 5],
      [5, 106],
    ],
  ],
  ['movedim', () => tensor([...zeros([2, 3, 4]).movedim(0, 2).shape]), [3, 4, 2]],
  ['diagonal', () => x.diagonal(), [1, 5]],
  [
    'unfold',
    () => y.unfold(0, 2, 1),
    [
      [2, 3],
      [3, 4],
    ],
  ],
  ['indexAdd', () => y.indexAdd(0, tensor([0n, 0n]), ones([2])), [4, 3, 4]],
  ['takeAlongDim', () => x.takeAlongDim(tensor([[2n]]), 1), [[3], [-6]]],
  ['scatterAdd', () => zeros([2]).scatterAdd(0, tensor([1n, 1n]), ones([2])), [0, 2]],
  ['roll, flip', () => y.roll(1, 0).flip(0), [3, 2, 4]],
  [
    'repeat, repeatInterleave',
    () =>
      tensor([1, 2])
        .repeat(2)
        .add(tensor([1, 2]).repeatInterleave(2, 0)),
    [2, 3, 3, 4],
  ],
  [
    'tril, triu',
    () =>
      ones([2, 2])
        .tril()
        .add(ones([2, 2]).triu(1)),
    [
      [1, 1],
      [1, 1],
    ],
  ],
  [
    'pad',
    () => tensor([[1]]).pad([1, 0, 0, 1], 5),
    [
      [5, 1],
      [5, 5],
    ],
  ],
  ['fullLike', () => fullLike(y, 4), [4, 4, 4]],
  ['mseLoss', () => mseLoss(y, ones([3])), 14 / 3],
  ['l1Loss, summed', () => l1Loss(y, ones([3]), 'sum'), 6],
  [
    'binaryCrossEntropyWithLogits',
    () => binaryCrossEntropyWithLogits(zeros([2]), tensor([0, 1]), 'none'),
    [Math.log(2), Math.log(2)],
  ],
  ['cosineSimilarity', () => cosineSimilarity(tensor([[1, 0]]), tensor([[1, 1]])), [Math.SQRT1_2]],
])('%s', (_name, run, wanted) => {
  scope(() => close(run(), wanted));
});

test.each<[string, (t: Tensor) => Tensor, number[]]>([
  ['add_', (t) => t.add_(1).add_(tensor([1, 2, 3]), 2), [5, 8, 11]],
  ['sub_', (t) => t.sub_(1).sub_(tensor([1, 1, 1]), 2), [-1, 0, 1]],
  [
    'mul_, div_',
    (t) =>
      t
        .mul_(4)
        .div_(tensor([2, 3, 4]))
        .div_(2),
    [2, 2, 2],
  ],
  ['pow_, sqrt_, neg_', (t) => t.pow_(2).sqrt_().neg_(), [-2, -3, -4]],
  ['exp_', (t) => t.sub_(t.clone()).exp_(), [1, 1, 1]],
  ['relu_, sigmoid_', (t) => t.neg_().relu_().sigmoid_(), [0.5, 0.5, 0.5]],
  ['clamp_', (t) => t.clamp_(3), [3, 3, 4]],
  [
    'copy_, fill_, zero_',
    (t) =>
      t
        .fill_(9)
        .zero_()
        .copy_(tensor([1n, 2n, 3n])),
    [1, 2, 3],
  ],
  ['maskedFill_', (t) => t.maskedFill_(t.gt(2), 0), [2, 0, 0]],
  ['lerp_', (t) => t.lerp_(zeros([3]), 0.5), [1, 1.5, 2]],
  ['addcmul_, addcdiv_', (t) => t.addcmul_(ones([3]), ones([3]), 2).addcdiv_(ones([3]), ones([3]), -1), [3, 4, 5]],
])('%s changes and returns the tensor itself', (_name, change, wanted) => {
  scope(() => {
    const t = y.clone();
    expect(change(t)).toBe(t);
    close(t, wanted);
  });
});

test('results in pairs', () => {
  scope(() => {
    const dims = [0];
    close(x.amax(dims), [4, 5, 3]);
    const { values, indices } = x.maxWithIndices(1);
    close(values, [3, 5]);
    close(indices, [2, 1]);
    close(x.minWithIndices(0).indices, [0, 0, 1]);
    close(x.topk(2, 1).values, [
      [3, 1],
      [5, 4],
    ]);
    close(x.sort(1, true).indices, [
      [2, 0, 1],
      [1, 0, 2],
    ]);
  });
});
