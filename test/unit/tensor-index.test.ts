import { readFileSync } from 'node:fs';
import { arange, type Index, type NestedArray, ones, scope, slice, type Tensor, tensor } from '../../src/tensor/index.ts';

type Written =
  | number
  | null
  | '...'
  | { slice: [number | null, number | null, number] }
  | { at: NestedArray<number> }
  | { mask: NestedArray<boolean> };

interface Case {
  index: Written[];
  shape: number[];
  values: number[];
  written: number[] | null;
  changed: number;
}

const golden = JSON.parse(readFileSync(new URL('../fixtures/tensor/index.json', import.meta.url), 'utf8')) as {
  base: number[];
  cases: Case[];
};

function read(part: Written): Index {
  if (typeof part !== 'object' || part === null) return part;
  if ('slice' in part) return slice(...part.slice);
  return 'at' in part ? tensor(part.at, { dtype: 'int64' }) : tensor(part.mask);
}

const flat = (x: Tensor): number[] => Array.from(x.data() as BigInt64Array, Number);

test.each(golden.cases.map((one) => [JSON.stringify(one.index), one] as const))('x[%s] is as in PyTorch', (_name, one) => {
  scope(() => {
    const base = arange(0, 120).reshape(...golden.base);
    const index = one.index.map(read);
    const got = base.index(...index);
    expect(got.shape).toEqual(one.shape);
    expect(flat(got)).toEqual(one.values);
    if (one.written !== null) {
      const target = base.clone();
      const values = arange(1, got.numel + 1).reshape(...got.shape);
      expect(target.indexPut_(index, values.neg())).toBe(target);
      expect(flat(target)).toEqual(one.written);
    }
    const target = base.clone().indexPut_(index, tensor(-1n));
    expect(flat(target.eq(-1).sum())).toEqual([one.changed]);
  });
});

test('basic indices are views, tensors of positions are copies', () => {
  const x = ones([2, 3]);
  x.index(0, slice(1)).fill_(5);
  expect(x.toArray()).toEqual([
    [1, 5, 5],
    [1, 1, 1],
  ]);
  x.index(tensor([1n])).fill_(7);
  expect(x.select(0, 1).toArray()).toEqual([1, 1, 1]);
});

test('gradients go through both', () => {
  const x = ones([2, 3]).requiresGrad_();
  x.index(0, slice(1))
    .sum()
    .add(x.index(tensor([1n, 1n]), 2).sum())
    .backward();
  expect(x.grad?.toArray()).toEqual([
    [0, 1, 1],
    [0, 0, 2],
  ]);
});

test('wrong indices are typed errors', () => {
  const x = ones([2, 3]);
  expect(() => x.index(2)).toThrow(expect.objectContaining({ code: 'ERR_OPERATOR', operator: 'select.int' }));
  expect(() => x.index(0, 0, 0)).toThrow(expect.objectContaining({ code: 'ERR_OPERATOR', operator: 'select.int' }));
  expect(() => x.index('...', '...')).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT', argument: 'indices' }));
  expect(() => x.index(slice(0, null, -1))).toThrow(expect.objectContaining({ code: 'ERR_OPERATOR', operator: 'slice.Tensor' }));
  expect(() => x.index(tensor([0.5]))).toThrow(expect.objectContaining({ code: 'ERR_OPERATOR', operator: 'index.Tensor' }));
  expect(() => x.index(tensor([true, false, true]))).toThrow(expect.objectContaining({ operator: 'index.Tensor' }));
});
