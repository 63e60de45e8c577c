import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { addon } from '../../src/native/load.ts';
import { wrap } from '../../src/tensor/base.ts';
import { takeTypedArray } from '../../src/tensor/create.ts';
import { dtypeCode } from '../../src/tensor/dtype.ts';
import {
  callOperator,
  type Dtype,
  fromTypedArray,
  full,
  memory,
  ones,
  scope,
  type Tensor,
  type TypedArray,
  tensor,
  wrapTypedArray,
  zeros,
} from '../../src/tensor/index.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
async function collect(until: () => boolean): Promise<boolean> {
  for (let i = 0; i < 50 && !until(); i++) {
    gc?.();
    await turn();
  }
  return until();
}

const EXTREMES: [Dtype, TypedArray][] = [
  ['float32', Float32Array.of(1.5, -0, 3.4e38, 1e-45, Number.NEGATIVE_INFINITY, Number.NaN)],
  ['float64', Float64Array.of(Math.PI, -0, 1.7e308, 5e-324, Number.POSITIVE_INFINITY, Number.NaN)],
  ['int8', Int8Array.of(-128, 127, 0)],
  ['uint8', Uint8Array.of(0, 255, 7)],
  ['int16', Int16Array.of(-32768, 32767)],
  ['uint16', Uint16Array.of(0, 65535)],
  ['int32', Int32Array.of(-(2 ** 31), 2 ** 31 - 1)],
  ['uint32', Uint32Array.of(0, 2 ** 32 - 1)],
  ['int64', BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n)],
  ['uint64', BigUint64Array.of(0n, 2n ** 64n - 1n)],
];

describe.each(EXTREMES)('%s', (dtype, array) => {
  test('goes in and out unchanged', () => {
    scope(() => {
      const x = fromTypedArray(array);
      expect([x.dtype, x.shape]).toEqual([dtype, [array.length]]);
      expect(x.data()).toEqual(array);
      expect(fromTypedArray(array, [1, array.length]).shape).toEqual([1, array.length]);
      expect(fromTypedArray(array, [array.length], { dtype }).data()).toEqual(array);
    });
  });

  test('is a copy, while wrapTypedArray shares', () => {
    scope(() => {
      const own = array.slice() as TypedArray;
      const copy = fromTypedArray(own);
      const shared = wrapTypedArray(own);
      own[0] = own[1] as never;
      expect(copy.data()[0]).toEqual(array[0]);
      expect(shared.data()[0]).toEqual(array[1]);
      shared.select(0, 1).zero_();
      expect(Number(own[1])).toBe(0);
    });
  });
});

test('half precision is kept as bits, and cast from numbers', () => {
  scope(() => {
    const bits = Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00);
    const half = fromTypedArray(bits, [5], { dtype: 'float16' });
    expect(half.toArray()).toEqual([1, -2, 65504, 2 ** -24, Number.POSITIVE_INFINITY]);
    expect(half.data()).toEqual(bits);
    const brain = fromTypedArray(Uint16Array.of(0x3f80, 0xc000, 0x0080), [3], { dtype: 'bfloat16' });
    expect(brain.toArray()).toEqual([1, -2, 2 ** -126]);
    expect(brain.data()).toEqual(Uint16Array.of(0x3f80, 0xc000, 0x0080));
    expect(wrapTypedArray(bits, [5], 'float16').toArray()).toEqual(half.toArray());
    expect(fromTypedArray(Float32Array.of(1, 1 / 3), [2], { dtype: 'bfloat16' }).data()).toEqual(Uint16Array.of(0x3f80, 0x3eab));
    expect(fromTypedArray(Float32Array.of(1, 1 / 3), [2], { dtype: 'float16' }).data()).toEqual(Uint16Array.of(0x3c00, 0x3555));
  });
});

test('booleans are bytes of 0 and 1; other dtypes are casts', () => {
  scope(() => {
    const flags = fromTypedArray(Uint8Array.of(1, 0, 1), [3], { dtype: 'bool' });
    expect([flags.dtype, flags.toArray()]).toEqual(['bool', [1, 0, 1]]);
    expect(flags.data()).toEqual(Uint8Array.of(1, 0, 1));
    expect(fromTypedArray(Float32Array.of(0, 2.7, -2.7), [3], { dtype: 'int32' }).toArray()).toEqual([0, 2, -2]);
    expect(fromTypedArray(BigInt64Array.of(5n), [1], { dtype: 'float64' }).data()).toEqual(Float64Array.of(5));
    expect(() => wrapTypedArray(Float32Array.of(1), [1], 'float64')).toThrow(expect.objectContaining({ argument: 'dtype' }));
  });
});

test('a Buffer and parts of arrays count from their own offset', () => {
  scope(() => {
    const whole = Float32Array.of(0, 1, 2, 3, 4, 5);
    expect(fromTypedArray(whole.subarray(2, 5)).toArray()).toEqual([2, 3, 4]);
    expect(wrapTypedArray(whole.subarray(2, 5), [3, 1]).toArray()).toEqual([[2], [3], [4]]);
    expect(fromTypedArray(Buffer.from([7, 8, 9])).toArray()).toEqual([7, 8, 9]);
    expect(fromTypedArray(new Uint8ClampedArray([300, 5]) as unknown as Uint8Array).toArray()).toEqual([255, 5]);
    expect(fromTypedArray(new Float32Array(new SharedArrayBuffer(8))).toArray()).toEqual([0, 0]);
  });
});

test('only arrays of fixed length are shared', () => {
  const resizable = new (ArrayBuffer as new (length: number, options: object) => ArrayBuffer)(8, { maxByteLength: 64 });
  expect(() => wrapTypedArray(new Float32Array(resizable))).toThrow(expect.objectContaining({ argument: 'data' }));
});

test('an array that is taken over is empty once the tensor and its views are gone', () => {
  const array = Float32Array.of(1, 2, 3, 4);
  const taken = takeTypedArray(array, [2, 2]);
  const view = taken.select(0, 1);
  taken.dispose();
  expect([view.toArray(), array.length]).toEqual([[3, 4], 4]);
  view.dispose();
  expect([array.length, array.buffer.byteLength]).toEqual([0, 0]);
  const part = Float32Array.of(1, 2, 3).subarray(1);
  takeTypedArray(part).dispose();
  expect(part.length).toBe(2);
});

test('a shared array lives while its tensor or a view of it does, and no longer', async () => {
  let gone = 0;
  const registry = new FinalizationRegistry<number>(() => gone++);
  const make = (): Tensor => {
    const array = Float32Array.from({ length: 5000 }, (_, i) => i);
    registry.register(array.buffer, 1);
    return wrapTypedArray(array);
  };
  const shared = make();
  const view = shared.narrow(0, 4000, 2);
  for (let i = 0; i < 5; i++) {
    gc?.();
    await turn();
  }
  expect(gone).toBe(0);
  shared.dispose();
  gc?.();
  await turn();
  expect(view.toArray()).toEqual([4000, 4001]);
  expect(gone).toBe(0);
  view.dispose();
  expect(await collect(() => gone === 1)).toBe(true);
});

describe('nested arrays', () => {
  test('shapes and dtypes', () => {
    scope(() => {
      const facts = (x: Tensor): unknown => [x.dtype, x.shape, x.toArray()];
      expect(facts(tensor(3))).toEqual(['float32', [], 3]);
      expect(facts(tensor([[1, 2.5]]))).toEqual(['float32', [1, 2], [[1, 2.5]]]);
      expect(facts(tensor([1n, -5n]))).toEqual(['int64', [2], [1, -5]]);
      expect(facts(tensor([true, false]))).toEqual(['bool', [2], [1, 0]]);
      expect(facts(tensor([1, 0], { dtype: 'bool' }))).toEqual(['bool', [2], [1, 0]]);
      expect(facts(tensor([1.5, 2], { dtype: 'float16' }))).toEqual(['float16', [2], [1.5, 2]]);
      expect(facts(tensor([2 ** 52, 1], { dtype: 'int64' }))).toEqual(['int64', [2], [2 ** 52, 1]]);
      expect(() => tensor([1.5], { dtype: 'int64' })).toThrow(expect.objectContaining({ argument: 'data' }));
    });
  });

  test.each([[[0]], [[0, 3]], [[3, 0]], [[2, 0, 4]], [[2, 3, 0]]])('empty ones of shape %j', (shape) => {
    scope(() => {
      const nested = (dim: number): unknown =>
        dim === shape.length ? 0 : Array.from({ length: shape[dim] as number }, () => nested(dim + 1));
      expect(zeros(shape).toArray()).toEqual(nested(0));
      expect(zeros(shape).data()).toEqual(new Float32Array(0));
    });
  });

  test('an empty array is an empty tensor', () => {
    scope(() => {
      expect(tensor([]).shape).toEqual([0]);
      expect(tensor([[], []]).shape).toEqual([2, 0]);
    });
  });

  test('views and transposes come out in row-major order', () => {
    scope(() => {
      const x = tensor([
        [1, 2, 3],
        [4, 5, 6],
      ]);
      expect(x.transpose(0, 1).toArray()).toEqual([
        [1, 4],
        [2, 5],
        [3, 6],
      ]);
      expect(x.select(1, 2).data()).toEqual(Float32Array.of(3, 6));
      expect(x.narrow(1, 0, 1).expand(2, 2).toArray()).toEqual([
        [1, 1],
        [4, 4],
      ]);
    });
  });
});

test('single elements: numbers, booleans as 0 and 1, large integers exactly on request', () => {
  scope(() => {
    expect(tensor(1.5).item()).toBe(1.5);
    expect(tensor([[true]]).item()).toBe(1);
    expect(tensor(2n ** 62n + 1n).item()).toBe(2 ** 62);
    expect(tensor(2n ** 62n + 1n).itemBigInt()).toBe(2n ** 62n + 1n);
    expect(tensor(-7n).itemBigInt()).toBe(-7n);
    const [unsigned, most] = [full([1], 2n ** 63n, { dtype: 'uint64' }), tensor(2n ** 64n - 1n, { dtype: 'uint64' })];
    expect([unsigned.item(), unsigned.itemBigInt(), unsigned.toArray()]).toEqual([2 ** 63, 2n ** 63n, [2 ** 63]]);
    expect([most.item(), most.itemBigInt(), callOperator('item', most)]).toEqual([2 ** 64, 2n ** 64n - 1n, 2n ** 64n - 1n]);
    expect(() => full([1], 2n ** 64n, { dtype: 'uint64' })).toThrow(/an integer for fill_value but received a BigInt/);
    expect(() => tensor(0.5).itemBigInt()).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }));
  });
});

test('moving: the tensor itself where nothing changes', () => {
  scope(() => {
    const x = ones([2]);
    expect(x.to('float32')).toBe(x);
    expect(x.to({ device: 'cpu', dtype: 'float32' })).toBe(x);
    expect(x.to({})).toBe(x);
    expect(x.to('float64')).not.toBe(x);
    expect(x.to({ device: 'meta' }).device).toBe('meta');
    expect(() => x.to({ device: 'meta' }).data()).toThrow();
  });
});

test('setData takes over data, dtype and shape under the same object, and drops the gradient', () => {
  scope(() => {
    const x = ones([2]).requiresGrad_();
    x.mul(3).sum().backward();
    expect(x.grad?.toArray()).toEqual([3, 3]);
    x.setData(tensor([[1, 2, 3]], { dtype: 'float64' }));
    expect([x.dtype, x.shape, x.toArray(), x.requiresGrad, x.isLeaf]).toEqual(['float64', [1, 3], [[1, 2, 3]], true, true]);
    expect(x.grad).toBeNull();
    x.sum().backward();
    expect(x.grad?.toArray()).toEqual([[1, 1, 1]]);
  });
});

test('live tensors and bytes are counted, views with their base', () => {
  const before = memory();
  scope(() => {
    const x = zeros([1000]);
    expect(memory()).toEqual({ tensors: before.tensors + 1, bytes: before.bytes + 4000 });
    const view = x.view(10, 100);
    expect(memory()).toEqual({ tensors: before.tensors + 2, bytes: before.bytes + 4000 });
    x.dispose();
    expect(memory().bytes).toBe(before.bytes + 4000);
    view.dispose();
    zeros([5], { device: 'meta' });
    expect(memory().bytes).toBe(before.bytes);
  });
  expect(memory()).toEqual(before);
});

// In a process of its own: how soon V8 collects depends on how large its heap is.
test('V8 is told of the memory that tensors hold: it collects large ones of its own accord', () => {
  const script = `
    const { empty, memory } = await import(${JSON.stringify(path.resolve(import.meta.dirname, '../../dist/index.js'))});
    let most = 0;
    for (let i = 0; i < 1000; i++) {
      empty([2 ** 21]); // 8 MiB that nobody holds, and that is never touched
      await new Promise(setImmediate);
      most = Math.max(most, memory().bytes);
    }
    console.log(most);`;
  const most = Number(execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }));
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThan(2 ** 31); // of 8 GiB
});

test('8-bit floats come out as float32; complex numbers only as pairs', () => {
  scope(() => {
    expect(tensor([1.5, -2], { dtype: 'float8_e4m3fn' }).data()).toEqual(Float32Array.of(1.5, -2));
    expect(tensor([1.5, -2], { dtype: 'float8_e5m2' }).toArray()).toEqual([1.5, -2]);
    const complex = callOperator('complex', tensor([1]), tensor([2])) as Tensor;
    expect(() => complex.data()).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }));
    expect(() => complex.item()).toThrow(/a real number.*a complex number/);
    expect((callOperator('view_as_real', complex) as Tensor).toArray()).toEqual([[1, 2]]);
  });
});

describe('tensors over a mapped file', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'blip2-'));
  const file = path.join(folder, 'values.bin');
  const floats = Float32Array.from({ length: 5000 }, (_, i) => i / 2);
  beforeAll(() => writeFileSync(file, Buffer.from(floats.buffer)));
  afterAll(() => rmSync(folder, { recursive: true }));
  const over = (mapping: number, offset: number, shape: number[], dtype: Dtype = 'float32'): Tensor =>
    wrap(addon.mappedTensor(mapping, offset, shape, dtypeCode(dtype)));

  test('ranges, aligned or not, to the last byte', () => {
    scope(() => {
      const mapping = addon.mapFile(file);
      expect(over(mapping, 0, [5000]).data()).toEqual(floats);
      expect(over(mapping, 4 * 4998, [2, 1]).toArray()).toEqual([[2499], [2499.5]]);
      expect(over(mapping, 20000, [0]).shape).toEqual([0]);
      const bytes = Buffer.from(floats.buffer);
      expect(over(mapping, 3, [100], 'float32').data()).toEqual(new Float32Array(new Uint8Array(bytes.subarray(3, 403)).buffer));
      expect(over(mapping, 7, [4], 'uint8').data()).toEqual(new Uint8Array(bytes.subarray(7, 11)));
      addon.unmap(mapping);
    });
  });

  test('writing to one changes memory, never the file', () => {
    scope(() => {
      const mapping = addon.mapFile(file);
      const x = over(mapping, 0, [5000]);
      x.add_(1);
      expect(x.narrow(0, 0, 2).toArray()).toEqual([1, 1.5]);
      expect(over(mapping, 0, [1]).item()).toBe(1); // the same pages
      addon.unmap(mapping);
    });
    expect(new Float32Array(new Uint8Array(readFileSync(file)).buffer)).toEqual(floats);
  });

  test('they outlive the mapping’s handle and the file’s name', () => {
    scope(() => {
      const other = path.join(folder, 'gone.bin');
      writeFileSync(other, Buffer.from(floats.buffer));
      const mapping = addon.mapFile(other);
      const x = over(mapping, 4, [3]);
      addon.unmap(mapping);
      unlinkSync(other);
      expect(existsSync(other)).toBe(false);
      expect(x.toArray()).toEqual([0.5, 1, 1.5]);
      expect(() => over(mapping, 0, [1])).toThrow(/freed/);
    });
  });

  test('pages given back are read again', () => {
    scope(() => {
      const mapping = addon.mapFile(file);
      const x = over(mapping, 0, [5000]);
      expect(x.sum().item()).toBe(floats.reduce((a, b) => a + b, 0));
      addon.adviseUnused(mapping, 0, 20000);
      expect(x.narrow(0, 1024, 2).toArray()).toEqual([512, 512.5]);
      addon.unmap(mapping);
    });
  });

  test('what is not in the file, or no file, is a typed error', () => {
    const mapping = addon.mapFile(file);
    for (const [offset, shape] of [
      [0, [5001]],
      [19997, [1]],
      [-4, [1]],
      [20004, [0]],
      [2 ** 52, [1]],
      [0, [2 ** 40, 2 ** 40]],
    ] as [number, number[]][]) {
      expect(() => over(mapping, offset, shape)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }));
    }
    addon.unmap(mapping);
    for (const bad of [folder, path.join(folder, 'none'), '/dev/zero']) {
      expect(() => addon.mapFile(bad)).toThrow(expect.objectContaining({ code: 'ERR_FILE' }));
    }
    const empty = path.join(folder, 'empty.bin');
    writeFileSync(empty, '');
    const nothing = addon.mapFile(empty);
    expect(over(nothing, 0, [0]).dispose()).toBeUndefined();
    expect(() => over(nothing, 0, [1])).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }));
    addon.unmap(nothing);
  });
});
