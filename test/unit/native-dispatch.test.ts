import { operator } from '../../src/tensor/dispatch.ts';
import {
  arange,
  callOperator,
  type Dtype,
  eye,
  Generator,
  linspace,
  memory,
  noGrad,
  ones,
  operatorNames,
  operatorSchema,
  scope,
  type Tensor,
  tensor,
  zeros,
} from '../../src/tensor/index.ts';

const call = (name: string, ...values: Parameters<typeof callOperator> extends [string, ...infer V] ? V : never): Tensor =>
  callOperator(name, ...values) as Tensor;
const numbers = (x: unknown): unknown => (x as Tensor).toArray();

describe('every kind of argument', () => {
  const x = arange(0, 6, 1, { dtype: 'float32' }).reshape(2, 3);

  test('Tensor, and Tensor? with and without one', () => {
    expect(numbers(call('mul.Tensor', x, x))).toEqual([
      [0, 1, 4],
      [9, 16, 25],
    ]);
    const weight = ones([1, 3]);
    expect(numbers(call('linear', x, weight, tensor([10])))).toEqual([[13], [22]]);
    for (const bias of [null, undefined]) expect(numbers(call('linear', x, weight, bias))).toEqual([[3], [12]]);
    expect(numbers(call('linear', x, weight))).toEqual([[3], [12]]);
    expect(numbers(call('clamp.Tensor', x, null, tensor([2])))).toEqual([
      [0, 1, 2],
      [2, 2, 2],
    ]);
  });

  test('Tensor[], Tensor?[]', () => {
    expect(call('cat', [x, x, x], 1).shape).toEqual([2, 9]);
    expect(numbers(call('index.Tensor', x, [null, tensor([2n, 0n])]))).toEqual([
      [2, 0],
      [5, 3],
    ]);
    expect(numbers(call('index.Tensor', x, [tensor([1n]), tensor([2n])]))).toEqual([5]);
  });

  test('Scalar: whole numbers stay integers, booleans and BigInts are taken', () => {
    const whole = arange(0, 3);
    expect(call('add.Scalar', whole, 1).dtype).toBe('int64');
    expect(call('add.Scalar', whole, 1.5).dtype).toBe('float32');
    expect(call('add.Scalar', whole, 2n ** 40n).data()).toEqual(BigInt64Array.of(2n ** 40n, 2n ** 40n + 1n, 2n ** 40n + 2n));
    expect(numbers(call('eq.Scalar', tensor([true, false]), true))).toEqual([1, 0]);
    expect(Object.is(call('full_like', tensor([1]), -0).item(), -0)).toBe(true);
    expect(call('full_like', tensor([1]), Number.NaN).item()).toBeNaN();
  });

  test('Scalar?, Scalar[]', () => {
    expect(numbers(call('clamp', x, 1, null))).toEqual([
      [1, 1, 2],
      [3, 4, 5],
    ]);
    const sums = callOperator('_foreach_add.ScalarList', [x, x], [1, 0.5]) as Tensor[];
    expect(sums.map((sum) => sum.select(0, 0).toArray())).toEqual([
      [1, 2, 3],
      [0.5, 1.5, 2.5],
    ]);
  });

  test('Scalar?[]', () => {
    const product = 'mkldnn::_linear_pointwise';
    if (!operatorNames().includes(product)) return; // a libtorch without oneDNN
    const clipped = (limits: (number | null)[]): Tensor => noGrad(() => call(product, x, eye(3), null, 'hardtanh', limits, ''));
    expect(numbers(clipped([1, 4]))).toEqual([
      [1, 1, 2],
      [3, 4, 4],
    ]);
    expect(() => clipped([1, 'four' as unknown as number])).toThrow(expect.objectContaining({ argument: 'scalars' }));
  });

  test('int, SymInt, int?, SymInt?', () => {
    expect(call('unsqueeze', x, -1).shape).toEqual([2, 3, 1]);
    expect(call('unsqueeze', x, 0n).shape).toEqual([1, 2, 3]);
    expect(numbers(call('select.int', x, 1, 2n))).toEqual([2, 5]);
    expect(numbers(call('argmax', x, null))).toBe(5);
    expect(numbers(call('argmax', x, 1))).toEqual([2, 2]);
    expect(call('slice.Tensor', x, 1, null, 2, 1).shape).toEqual([2, 2]);
    expect(call('slice.Tensor', x, 1).shape).toEqual([2, 3]);
  });

  test('int[], SymInt[], int[]?: arrays, typed arrays, BigInts', () => {
    expect(call('permute', x, [1, 0]).shape).toEqual([3, 2]);
    expect(call('view', x, [3n, 2]).shape).toEqual([3, 2]);
    expect(call('view', x, Int32Array.of(3, 2) as unknown as number[]).shape).toEqual([3, 2]);
    expect(call('view', x, BigInt64Array.of(6n) as unknown as number[]).shape).toEqual([6]);
    expect(numbers(call('sum.dim_IntList', x, [0, 1]))).toBe(15);
    expect(numbers(call('sum.dim_IntList', x, null))).toBe(15);
    expect(numbers(call('sum.dim_IntList', x, []))).toBe(15);
  });

  test('int[2]: one integer stands for both', () => {
    const picture = ones([1, 1, 4, 6]);
    expect(call('avg_pool2d', picture, 2).shape).toEqual([1, 1, 2, 3]);
    expect(call('avg_pool2d', picture, [2, 3]).shape).toEqual([1, 1, 2, 2]);
    expect(call('conv2d', picture, ones([1, 1, 1, 1]), null, [2, 1]).shape).toEqual([1, 1, 2, 6]);
    expect(call('conv2d', picture, ones([1, 1, 1, 1]), null, 2).shape).toEqual([1, 1, 2, 3]);
    expect(numbers(call('sum.dim_IntList', x, 0))).toEqual([3, 5, 7]);
  });

  test('float, float?, float[]?', () => {
    expect(call('celu', tensor([-1]), 2).item()).toBeCloseTo(2 * (Math.exp(-0.5) - 1), 6);
    const nan = tensor([Number.NaN, Number.POSITIVE_INFINITY]);
    expect(numbers(call('nan_to_num', nan, 7, null, null))).toEqual([7, 3.4028234663852886e38]);
    expect(call('upsample_bicubic2d.vec', ones([1, 1, 4, 4]), null, false, [1.5, 2]).shape).toEqual([1, 1, 6, 8]);
    expect(call('upsample_bicubic2d.vec', ones([1, 1, 4, 4]), [5, 6], false, null).shape).toEqual([1, 1, 5, 6]);
  });

  test('bool, bool?, bool[3]', () => {
    expect(call('sum.dim_IntList', x, [1], true).shape).toEqual([2, 1]);
    const [sorted] = callOperator('sort.stable', x, null, 1, true) as Tensor[];
    expect(numbers(sorted)).toEqual([
      [2, 1, 0],
      [5, 4, 3],
    ]);
    const [, , bias] = norms(true, true, true);
    expect(numbers(bias)).toEqual([2, 2, 2]);
  });

  test('undefined tensors among the results are null', () => {
    expect(norms(true, false, false).map((grad) => grad === null)).toEqual([false, true, true]);
    expect(norms(false, false, true).map((grad) => grad === null)).toEqual([true, true, false]);
  });

  const norms = (...mask: boolean[]): (Tensor | null)[] => {
    const [, mean, rstd] = callOperator('native_layer_norm', x, [3], ones([3]), zeros([3]), 1e-5) as [Tensor, Tensor, Tensor];
    const grad = ones([2, 3]);
    return callOperator('native_layer_norm_backward', grad, x, [3], mean, rstd, ones([3]), zeros([3]), mask) as (Tensor | null)[];
  };

  test('str, str?', () => {
    const one = tensor([1]);
    expect(call('gelu', one, 'none').item()).toBeCloseTo(0.8413447, 6);
    expect(call('gelu', one, 'tanh').item()).toBeCloseTo(0.841192, 6);
    expect(call('gelu', one).item()).toBeCloseTo(0.8413447, 6);
    expect(call('div.Tensor_mode', tensor([-7]), tensor([2]), 'floor').item()).toBe(-4);
    expect(call('div.Tensor_mode', tensor([-7]), tensor([2]), null).item()).toBe(-3.5);
    expect(numbers(call('einsum', 'ij->j', [x]))).toEqual([3, 5, 7]);
  });

  test('dtype, by name or number; device; layout; memory format', () => {
    expect(call('zeros', [2], 'int32').dtype).toBe('int32');
    expect(call('zeros', [2], 7).dtype).toBe('float64');
    expect(call('zeros', [2], null, 'strided', 'meta').device).toBe('meta');
    expect(call('zeros', [2], null, null, 'cpu', false).device).toBe('cpu');
    expect(call('zeros', [2, 2], null, 'sparse_coo').device).toBe('cpu');
    const picture = call('contiguous', ones([2, 3, 4, 5]), 'channels_last');
    expect(picture.strides).toEqual([60, 1, 15, 3]);
    expect(call('contiguous', picture, 'contiguous_format').strides).toEqual([60, 20, 5, 1]);
    expect(call('clone', picture, null).strides).toEqual([60, 1, 15, 3]);
    expect(call('clone', picture, 'preserve_format').strides).toEqual([60, 1, 15, 3]);
  });

  test('every layout', () => {
    const dense = arange(0, 16, 1, { dtype: 'float32' }).reshape(4, 4);
    const blocks = ['sparse_bsr', 'sparse_bsc'];
    for (const layout of ['sparse_coo', 'sparse_csr', 'sparse_csc', ...blocks]) {
      const sparse = call('to_sparse', dense, layout, blocks.includes(layout) ? [2, 2] : null);
      expect(call('to_dense', sparse).toArray()).toEqual(dense.toArray());
      // The indices that only a layout of this kind has.
      const indices =
        { sparse_coo: '_indices', sparse_csr: 'crow_indices', sparse_bsr: 'crow_indices' }[layout] ?? 'ccol_indices';
      expect(call(indices, sparse).dtype).toBe('int64');
    }
    for (const layout of ['strided', '_mkldnn', 'jagged']) {
      expect(call('to_dense', call('zeros', [2], null, layout)).toArray()).toEqual([0, 0]);
    }
    expect(() => call('zeros', [2], null, 'dense')).toThrow(
      expect.objectContaining({
        argument: 'layout',
        expected: 'one of "strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "_mkldnn", "jagged"',
        received: 'the string "dense"',
      }),
    );
  });

  test('Generator, and its absence', () => {
    const draw = (generator: Generator | null): Tensor => call('rand.generator', [4], generator);
    expect(draw(new Generator(5)).data()).toEqual(draw(new Generator(5)).data());
    expect(draw(null).shape).toEqual([4]);
  });
});

describe('every kind of result', () => {
  const x = arange(0, 6, 1, { dtype: 'float32' }).reshape(2, 3);

  test('several tensors, lists of tensors, numbers, booleans, nothing', () => {
    const [values, indices] = callOperator('max.dim', x, 1) as [Tensor, Tensor];
    expect([numbers(values), numbers(indices)]).toEqual([
      [2, 5],
      [2, 2],
    ]);
    expect((callOperator('split.Tensor', x, 2, 1) as Tensor[]).map((part) => part.shape)).toEqual([
      [2, 2],
      [2, 1],
    ]);
    expect(callOperator('size.int', x, 1)).toBe(3);
    expect(callOperator('equal', x, x)).toBe(true);
    expect(callOperator('is_same_size', x, zeros([1]))).toBe(false);
    expect(callOperator('item', tensor([1.5]))).toBe(1.5);
    expect(callOperator('item', tensor([2n ** 60n]))).toBe(2n ** 60n);
    expect(callOperator('_assert_async', tensor([true]))).toBeUndefined();
    expect(callOperator('is_floating_point', x)).toBe(true);
    expect(callOperator('sym_is_contiguous', x)).toBe(true);
    expect(callOperator('result_type.Tensor', x, ones([1], { dtype: 'float64' }))).toBe('float64');
    expect(callOperator('promote_types', 'int32', 'bfloat16')).toBe('bfloat16');
    expect(callOperator('_choose_qparams_per_tensor', x)).toEqual([expect.closeTo(5 / 255), 0]);
    expect(callOperator('sym_size.int', x, 0)).toBe(2);
  });

  test('in-place variants return what they changed', () => {
    const y = ones([2]);
    expect(callOperator('add_.Tensor', y, y)).toBe(y);
    expect(numbers(y)).toEqual([2, 2]);
    const list = [ones([1]), ones([1])];
    expect(callOperator('_foreach_add_.Scalar', list, 2)).toBe(list);
    expect(numbers(list[1])).toEqual([3]);
  });

  test('out variants fill and return their out arguments, whose shape may change', () => {
    const out = zeros([0]);
    expect(out.shape).toEqual([0]);
    expect(callOperator('add.out', x, x, 1, out)).toBe(out);
    expect(out.shape).toEqual([2, 3]);
    const [values, indices] = [zeros([0]), zeros([0], { dtype: 'int64' })];
    expect(callOperator('sort.values', x, 1, true, values, indices)).toEqual([values, indices]);
    expect(numbers(indices)).toEqual([
      [2, 1, 0],
      [2, 1, 0],
    ]);
  });
});

test('arguments that an array would give and those given one by one mean the same', () => {
  const x = arange(0, 24).reshape(2, 3, 4);
  expect(x.view(4, -1).shape).toEqual([4, 6]);
  expect(x.view(24).shape).toEqual([24]);
  expect(x.sum().view().shape).toEqual([]);
  expect(x.permute(2, 0, 1).shape).toEqual([4, 2, 3]);
  expect(x.expand(5, 2, 3, 4).shape).toEqual([5, 2, 3, 4]);
  expect(x.reshape(1, 1, 1, 1, 1, 2, 3, 4).shape).toEqual([1, 1, 1, 1, 1, 2, 3, 4]);
  expect(() => x.view(...Array<number>(40).fill(1))).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT', operator: 'view' }));
});

// What has no form in JavaScript: storages and streams as such, quantised cells, dictionaries, quantisation schemes.
const UNSUPPORTED = [
  'get_gradients',
  'qscheme',
  'quantized_gru.data',
  'quantized_gru.input',
  'quantized_lstm.data',
  'quantized_lstm.input',
  'record_stream',
  'set.source_Storage',
  'set.source_Storage_out',
  'set.source_Storage_storage_offset',
  'set.source_Storage_storage_offset_out',
  'set_.source_Storage',
  'set_.source_Storage_storage_offset',
];

test('every ATen operator can be looked up, but for a few whose arguments have no form in JavaScript', () => {
  const aten = operatorNames().filter((name) => !name.includes('::'));
  expect(aten.length).toBeGreaterThan(2500);
  const refused: string[] = [];
  for (const name of aten) {
    try {
      operator(name);
    } catch (error) {
      expect(error).toMatchObject({
        code: 'ERR_OPERATOR',
        operator: name,
        message: expect.stringContaining('JavaScript has no form'),
      });
      refused.push(name);
    }
  }
  expect(refused.sort()).toEqual(UNSUPPORTED);
});

test('schemas are PyTorch’s', () => {
  expect(operatorSchema('add.Tensor')).toBe('aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor');
});

// Operators whose forms are called unboxed against the same kernels called through `out` variants, which are called boxed.
test.each<[string, number]>([
  ['exp', 1],
  ['mul', 2],
  ['atan2', 2],
  ['maximum', 2],
])('%s is the same unboxed and boxed', (name, arity) => {
  scope(() => {
    for (const dtype of ['float32', 'float64'] as Dtype[]) {
      const operands = [linspace(-2, 3, 7, { dtype }), linspace(1, 5, 7, { dtype })].slice(0, arity);
      const overload = name === 'mul' ? 'mul.Tensor' : name;
      const out = zeros([0], { dtype });
      callOperator(`${name}.out`, ...operands, out);
      expect(call(overload, ...operands).data()).toEqual(out.data());
    }
  });
});

test('nothing but what a call returns stays behind', () => {
  const before = memory().tensors;
  scope(() => {
    const x = ones([2, 3]);
    callOperator('max.dim', x, 1);
    expect(() => callOperator('matmul', x, x)).toThrow();
    expect(() => callOperator('cat', [x, 3])).toThrow();
  });
  expect(memory().tensors).toBe(before);
});
