import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { Parameter } from '../../src/nn/index.ts';
import { arange, cat, type Dtype, empty, linear, linspace, scope, type Tensor, tensor } from '../../src/tensor/index.ts';
import { bytesToTensor } from '../support/tensors.ts';

interface Case {
  name: string;
  dtype: Dtype;
  shape: number[];
  data: string | null;
  text: string;
  make?: string;
  step?: number;
}

const { cases } = JSON.parse(readFileSync(new URL('../fixtures/tensor/print.json', import.meta.url), 'utf8')) as {
  cases: Case[];
};

const numel = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const leaf = (...shape: number[]): Tensor =>
  linspace(-1, 1, numel(shape))
    .reshape(...shape)
    .requiresGrad_();

const MADE: Record<string, () => Tensor> = {
  add: () => leaf(3).add(leaf(3)),
  mul: () => leaf(2, 2).mul(leaf(2, 2)),
  view: () => leaf(2, 2).view(4),
  matmul: () => leaf(2, 2).matmul(leaf(2, 2)),
  softmax: () => leaf(2, 5).softmax(-1),
  sum: () => leaf(4).sum(),
  select: () => leaf(2, 3).select(0, 0),
  copySlices: () => {
    const x = leaf(2, 3).clone();
    x.select(0, 0).fill_(0);
    return x;
  },
  linear: () => linear(leaf(1, 2), leaf(2, 2), leaf(2)),
  'long line': () => leaf(11).exp(),
};

function make({ make: how, dtype, shape, data, step }: Case): Tensor {
  if (step !== undefined)
    return arange(0, numel(shape), 1, { dtype })
      .reshape(...shape)
      .mul(step);
  if (data === null) return empty(shape, { dtype, device: 'meta' });
  if (how !== undefined && how !== 'leaf') return (MADE[how] as () => Tensor)();
  const made = bytesToTensor(Buffer.from(data, 'base64'), shape, dtype);
  return how === 'leaf' ? made.requiresGrad_() : made;
}

test.each(cases.map((golden) => [golden.name, golden] as const))('prints like PyTorch: %s', (_name, golden) => {
  scope(() => expect(make(golden).toString()).toBe(golden.text));
});

test('console.log shows the same, and says when a tensor is gone', () => {
  const x = tensor([1, 2.5]);
  expect(inspect(x)).toBe('tensor([1.0000, 2.5000])');
  expect(`${x}`).toBe('tensor([1.0000, 2.5000])');
  x.dispose();
  expect(inspect(x)).toBe('tensor(freed)');
});

test('a parameter says that it is one', () => {
  const parameter = new Parameter(tensor([1, 2]));
  expect(`${parameter}`).toBe('Parameter containing:\ntensor([1., 2.], requires_grad=True)');
  expect(inspect(parameter)).toBe(`${parameter}`);
  parameter.dispose();
});

test('printing a large tensor copies only what is shown, and leaves nothing behind', () => {
  scope(() => {
    const big = cat([empty([1000, 1000], { dtype: 'uint8' }).zero_()]);
    expect(big.toString().split('\n')).toHaveLength(7);
  });
});
