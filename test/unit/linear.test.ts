import { autocast, Generator, inferenceMode, linear, noGrad, randn, scope, type Tensor } from '../../src/tensor/index.ts';

// Without gradients, large products may take another way than with them.
const random = (seed: number, ...shape: number[]): Tensor => randn(shape, { generator: new Generator(seed) });

const CASES: [string, () => Tensor][] = [
  ['rows', () => random(1, 5, 768)],
  ['one row', () => random(1, 1, 768)],
  ['batches', () => random(1, 3, 7, 768)],
  ['a view whose elements are not next to each other', () => random(1, 768, 40).transpose(0, 1)],
  ['a slice', () => random(1, 4, 9, 768).narrow(1, 2, 5)],
];

describe.each(CASES)('x·Wᵀ + b of %s', (_, make) => {
  test.each(['with', 'without'])('%s b is the same without gradients', (bias) => {
    scope(() => {
      const x = make();
      const [weight, b] = [random(2, 1536, 768), bias === 'with' ? random(3, 1536) : null];
      const expected = linear(x, weight, b);
      for (const mode of [noGrad, inferenceMode]) {
        const found = mode(() => linear(x, weight, b));
        expect(found.shape).toEqual(expected.shape);
        expect(found.strides).toEqual(expected.strides);
        const gap = found.sub(expected).abs().max().item() as number;
        expect(gap).toBeLessThanOrEqual(1e-5 * (expected.abs().max().item() as number));
      }
    });
  });
});

test('weights that are views multiply as they stand', () => {
  scope(() => {
    const [x, table] = [random(1, 40, 512), random(2, 512, 1024)];
    const expected = x.matmul(table);
    const found = noGrad(() => linear(x, table.transpose(0, 1)));
    expect(found.sub(expected).abs().max().item()).toBeLessThan(1e-3);
  });
});

test('autocast decides on the number format', () => {
  scope(() => {
    const [x, weight] = [random(1, 40, 512), random(2, 1024, 512)];
    expect(noGrad(() => autocast({ dtype: 'bfloat16' }, () => linear(x, weight))).dtype).toBe('bfloat16');
    expect(noGrad(() => linear(x.to('bfloat16'), weight.to('bfloat16'))).dtype).toBe('bfloat16');
    expect(noGrad(() => linear(x, weight)).dtype).toBe('float32');
  });
});

test('a gradient flows where it is asked for', () => {
  scope(() => {
    const [x, weight] = [random(1, 40, 512), random(2, 1024, 512).requiresGrad_()];
    linear(x, weight).sum().backward();
    expect(weight.grad?.shape).toEqual([1024, 512]);
  });
});

test.each([[[]], [[1]], [[1, 1024]], [[40, 1]]])('a bias of shape %j is broadcast as with gradients', (shape) => {
  scope(() => {
    const [x, weight, bias] = [random(1, 40, 512), random(2, 1024, 512), random(3, ...shape)];
    const expected = linear(x, weight, bias);
    const gap = noGrad(() => linear(x, weight, bias).sub(expected).abs().max().item());
    expect(gap).toBeLessThanOrEqual(1e-5 * expected.abs().max().item());
  });
});

test('sizes that do not fit are refused', () => {
  scope(() => {
    expect(() => noGrad(() => linear(random(1, 40, 512), random(2, 1024, 768)))).toThrow(
      expect.objectContaining({ name: expect.stringMatching(/Error/), operator: expect.stringMatching(/linear/) }),
    );
  });
});
