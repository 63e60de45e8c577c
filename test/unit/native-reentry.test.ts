import { keep, ones, scope, type Tensor } from '../../src/tensor/index.ts';

/** A list whose first element, when it is read, runs `body` first. */
function list(body: () => void, values: number[]): number[] {
  const numbers = [...values];
  Object.defineProperty(numbers, 0, {
    get() {
      body();
      return values[0];
    },
  });
  return numbers;
}

test('reading an argument may make thousands of tensors', () => {
  const made: Tensor[] = [];
  const x = ones([64, 64]);
  const sum = x.sum(list(() => void made.push(...Array.from({ length: 5000 }, () => keep(ones([1])))), [0]));
  expect(sum.toArray()).toEqual(Array(64).fill(64));
  for (const tensor of [...made, sum, x]) tensor.dispose();
});

test('reading an argument may call operators, and fail in them', () => {
  scope(() => {
    const inner = (): void => {
      ones([7]).roll([1], [0]);
      expect(() => ones([2]).roll([1], [5])).toThrow('roll');
    };
    expect(
      ones([2, 3])
        .roll(list(inner, [1, 1]), [0, 1])
        .toArray(),
    ).toEqual([
      [1, 1, 1],
      [1, 1, 1],
    ]);
  });
});

test('a tensor that is freed while the arguments are read is an error, not a crash', () => {
  const x = ones([4, 4]);
  expect(() => x.sum(list(() => x.dispose(), [0]))).toThrow();
  expect(x.isFreed).toBe(true);
});
