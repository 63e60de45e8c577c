import { jest } from '@jest/globals';
import { autocast, type Dtype, fromTypedArray, ones, scope, type Tensor, tensor } from '../../src/tensor/index.ts';

describe('tensors of nested arrays', () => {
  test.each<[string, Parameters<typeof tensor>[0], Dtype, number[]]>([
    ['booleans', [true, false], 'bool', [1, 0]],
    ['a boolean before numbers', [true, 5], 'float32', [1, 5]],
    ['a BigInt before numbers', [1n, 2.5], 'float32', [1, 2.5]],
    ['BigInts after a number', [2.5, 3n], 'float32', [2.5, 3]],
    ['a boolean before BigInts', [true, 7n], 'float32', [1, 7]],
  ])('no value changes for the kind of the first: %s', (_what, data, dtype, values) => {
    scope(() => {
      const x = tensor(data);
      expect([x.dtype, x.toArray()]).toEqual([dtype, values]);
    });
  });

  test('an array that holds itself is an error', () => {
    const first: unknown[] = [];
    first.push(first);
    const second: unknown[] = [[1]];
    second.push(second);
    for (const cyclic of [first, second]) expect(() => tensor(cyclic as number[])).toThrow(refused('data'));
  });

  test('as deep as PyTorch goes, and no deeper', () => {
    const nested = (depth: number): number[] => Array.from({ length: depth }).reduce<unknown>((inner) => [inner], 1) as number[];
    scope(() => expect(tensor(nested(64)).ndim).toBe(64));
    expect(() => tensor(nested(129))).toThrow(refused('data'));
    expect(() => tensor(nested(10_000))).toThrow(refused('data'));
  });
});

test('4-bit floats are made of bytes that hold two', () => {
  scope(() => {
    const x = fromTypedArray(Uint8Array.of(0x21, 0x43), [2], { dtype: 'float4_e2m1fn_x2' });
    expect([x.dtype, x.shape, x.data()]).toEqual(['float4_e2m1fn_x2', [2], Uint8Array.of(0x21, 0x43)]);
  });
});

test('more elements than an array holds are an error', () => {
  scope(() => {
    const vast: Tensor = ones([1]).expand(2 ** 40);
    expect(() => vast.data()).toThrow(refused('tensor'));
    expect(() => vast.toArray()).toThrow(refused('tensor'));
  });
});

test.each(['int8', 'float64', 'complex64', undefined] as Dtype[])('autocast to %p is refused, and the body not run', (dtype) => {
  const body = jest.fn();
  expect(() => autocast({ dtype }, body)).toThrow(refused('dtype'));
  expect(body).not.toHaveBeenCalled();
});

function refused(argument: string): Error {
  return expect.objectContaining({ code: 'ERR_ARGUMENT', argument }) as unknown as Error;
}
