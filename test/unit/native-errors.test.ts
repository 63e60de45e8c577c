import {
  ArgumentError,
  Blip2Error,
  DeviceError,
  OperatorError,
  OutOfMemoryError,
  TensorFreedError,
} from '../../src/native/errors.ts';
import { addon } from '../../src/native/load.ts';
import {
  callOperator,
  cat,
  crossEntropy,
  type Device,
  type Dtype,
  deviceMemory,
  embedding,
  empty,
  inferenceMode,
  layerNorm,
  linear,
  ones,
  setThreads,
  stack,
  synchronize,
  type Tensor,
  tensor,
  wrapTypedArray,
  zeros,
} from '../../src/tensor/index.ts';

const a = ones([2, 3]);
const b = ones([4]);
const freed = ones([2, 3]);
freed.dispose();
const nothing = undefined as unknown as Tensor;
const text = 'x' as unknown as Tensor & number;

function thrown(run: () => unknown): Blip2Error {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(Blip2Error);
    expect((error as Error).stack).toContain('native-errors.test.ts');
    return error as Blip2Error;
  }
  throw new Error('did not throw');
}

// [what is called, operator, argument, expected, received]
const ARGUMENTS: [string, () => unknown, string | undefined, string, RegExp, RegExp][] = [
  ['text for a tensor', () => a.add(text), 'add.Tensor', 'other', /a tensor/, /something that is none/],
  ['nothing for a tensor', () => a.matmul(nothing), 'matmul', 'other', /a tensor/, /something that is none/],
  ['null for a tensor', () => linear(a, null as unknown as Tensor), 'linear', 'weight', /a tensor/, /something that is none/],
  ['no array for tensors', () => cat(a as unknown as Tensor[]), undefined, 'tensors', /array of tensors/, /a tensor \[2, 3\]/],
  ['nothing among tensors', () => stack([a, nothing]), 'stack', 'tensors', /a tensor/, /something that is none/],
  ['a fraction for an integer', () => a.select(0, 0.5), 'select.int', 'index', /an integer/, /the number 0.5/],
  ['a fraction among integers', () => a.view(1.5), 'view', 'size', /an integer/, /the number 1.5/],
  ['too large an integer', () => a.select(0, 2 ** 60), 'select.int', 'index', /an integer/, /the number 1.15/],
  ['NaN for an integer', () => a.narrow(0, Number.NaN, 1), 'narrow', 'start', /an integer/, /the number nan/],
  ['text among integers', () => a.permute('p' as unknown as number), 'permute', 'dims', /an integer/, /the string "p"/],
  ['text for integers', () => a.sum('0' as unknown as number), 'sum.dim_IntList', 'dim', /array of integers/, /the string "0"/],
  ['an object for integers', () => zeros({} as number[]), 'zeros', 'size', /array of integers/, /an object/],
  [
    'a number for a boolean',
    () => a.sum(0, 1 as unknown as boolean),
    'sum.dim_IntList',
    'keepdim',
    /true or false/,
    /the number 1/,
  ],
  [
    'text for a number',
    () => layerNorm(a, [3], null, null, 'e' as unknown as number),
    'layer_norm',
    'eps',
    /a number/,
    /the string "e"/,
  ],
  ['a number for text', () => a.gelu(3 as unknown as 'tanh'), 'gelu', 'approximate', /a string/, /the number 3/],
  ['an unknown dtype', () => zeros([1], { dtype: 'f' as Dtype }), undefined, 'dtype', /float32/, /f/],
  ['an unknown dtype by name', () => callOperator('zeros', [1], 'f'), 'zeros', 'dtype', /a dtype/, /the string "f"/],
  ['an unknown device', () => zeros([1], { device: 'tpu' as Device }), 'zeros', 'device', /a device/, /the string "tpu"/],
  ['an unknown layout', () => callOperator('zeros', [1], null, 'round'), 'zeros', 'layout', /"strided"/, /the string "round"/],
  [
    'an unknown memory format',
    () => callOperator('clone', a, 'z'),
    'clone',
    'memory_format',
    /"contiguous_format"/,
    /the string "z"/,
  ],
  ['too few arguments', () => callOperator('add.Tensor', a), 'add.Tensor', 'other', /a value/, /nothing/],
  ['too many arguments', () => callOperator('add.Tensor', a, a, 1, 2), 'add.Tensor', 'the call', /at most 3 arguments/, /4/],
  ['a number for a tensor, by name', () => callOperator('add.Tensor', a, 1), 'add.Tensor', 'other', /a tensor/, /the number 1/],
  [
    'a tensor for a number, by name',
    () => callOperator('mul.Scalar', a, a),
    'mul.Scalar',
    'other',
    /no tensor/,
    /a tensor \[2, 3\]/,
  ],
  [
    'a tensor for a generator',
    () => callOperator('rand.generator', [1], 2),
    'rand.generator',
    'generator',
    /generator/,
    /number 2/,
  ],
  [
    'an unknown operator',
    () => callOperator('frobnicate', a),
    'frobnicate',
    'name',
    /an operator of this libtorch/,
    /"frobnicate"/,
  ],
  ['an unknown overload', () => callOperator('add.Frob', a), 'add.Frob', 'name', /an operator of this libtorch/, /"add.Frob"/],
  ['a dimension that is not there', () => a.size(2), undefined, 'dim', /a tensor that has 2/, /the number 2/],
  ['an index of a wrong kind', () => a.index('x' as '...'), undefined, 'an index', /a slice/, /the string "x"/],
  ['several elements for one', () => a.item(), 'item', 'tensor', /one element/, /6 elements/],
  ['ragged arrays', () => tensor([[1, 2], [3]]), undefined, 'data', /2 elements/, /1/],
  ['too short an array', () => wrapTypedArray(new Float32Array(3), [4]), 'wrapData', 'data', /16 bytes/, /12 bytes/],
  ['a negative shape for an array', () => wrapTypedArray(new Float32Array(3), [-3]), 'wrapData', 'shape', /at least 0/, /-3/],
  [
    'an overflowing shape for an array',
    () => wrapTypedArray(new Float32Array(1), [2 ** 40, 2 ** 40]),
    'wrapData',
    'shape',
    /fits/,
    /not/,
  ],
  ['no threads', () => setThreads(0), 'setThreads', 'threads', /1 to 4096/, /0/],
];

test.each(ARGUMENTS)('%s', (_what, run, operator, argument, expected, received) => {
  const error = thrown(run) as ArgumentError;
  expect(error).toBeInstanceOf(ArgumentError);
  expect(error).toMatchObject({ code: 'ERR_ARGUMENT', argument });
  expect(error.operator).toBe(operator);
  expect(error.expected).toMatch(expected);
  expect(error.received).toMatch(received);
  expect(error.message).toContain(`expected ${error.expected} for ${argument} but received ${error.received}`);
});

test.each<[string, () => unknown]>([
  ['as self', () => freed.add(1)],
  ['as an argument', () => a.mul(freed)],
  ['in a list', () => cat([a, freed])],
  ['its shape', () => freed.shape],
  ['its dtype', () => freed.dtype],
  ['its elements', () => freed.data()],
  ['in place', () => freed.add_(1)],
  ['backward', () => freed.backward()],
  ['by name', () => callOperator('exp', freed)],
  ['an index', () => a.index(freed)],
])('a freed tensor is found out: %s', (_what, run) => {
  const error = thrown(run);
  expect(error).toBeInstanceOf(TensorFreedError);
  expect(error.code).toBe('ERR_FREED');
  expect(error.message).toMatch(/live tensor/);
});

test('handles that were never given out are found out as well', () => {
  expect(() => addon.shape(0)).toThrow(/freed/);
  for (const handle of [1, -1, 2 ** 30, -(2 ** 31)]) expect(() => addon.shape(handle)).toThrow(/something that is none/);
  expect(() => addon.shape('a' as unknown as number)).toThrow(/a tensor/);
  expect(() => addon.call(1e6, 1)).toThrow(/looked up/);
  expect(() => (addon.call as () => void)()).toThrow(/looked up/);
  expect(() => addon.freeMany([1] as unknown as Int32Array, 1)).toThrow(/Int32Array/);
  expect(() => addon.freeMany(new Int32Array(1), 2)).toThrow(/at most/);
});

test.each<[string, () => unknown, string, RegExp]>([
  ['shapes that do not broadcast', () => a.add(b), 'add.Tensor', /size of tensor a \(3\) must match the size of tensor b \(4\)/],
  ['shapes that do not multiply', () => a.matmul(b), 'matmul', /size mismatch/],
  ['a view of another size', () => a.view(7), 'view', /shape '\[7\]' is invalid for input of size 6/],
  ['a position out of range', () => a.select(0, 9), 'select.int', /index 9 out of range/],
  ['a dimension out of range', () => a.softmax(5), 'softmax.int', /Dimension out of range/],
  ['a dtype without a kernel', () => tensor([true]).sub(tensor([true])), 'sub.Tensor', /Subtraction.*bool/],
  ['ids beyond the table', () => embedding(a, tensor([9n])), 'embedding', /index out of range/],
  ['targets beyond the classes', () => crossEntropy(a, tensor([9n, 1n])), 'cross_entropy_loss', /out of bounds/],
  ['an index out of bounds', () => a.index(tensor([7n])), 'index.Tensor', /index 7 is out of bounds/],
  ['a leaf changed in place', () => ones([1]).requiresGrad_().add_(1), 'add_.Scalar', /leaf Variable/],
  ['backward of what has no graph', () => ones([1]).backward(), 'backward', /does not require grad/],
  [
    'an inference tensor in a graph',
    () =>
      ones([2])
        .requiresGrad_()
        .mul(inferenceMode(() => ones([2]))),
    'mul.Tensor',
    /Inference tensors/,
  ],
  ['gradients of integers', () => tensor([1n]).requiresGrad_(), 'setRequiresGrad', /floating point/],
  ['no tensors to join', () => cat([]), 'cat', /non-empty/],
  ['a wrong equation', () => callOperator('einsum', 'ij,jk', [a]), 'einsum', /operands/],
])('libtorch’s own refusals name the operator: %s', (_what, run, operator, message) => {
  const error = thrown(run) as OperatorError;
  expect(error).toBeInstanceOf(OperatorError);
  expect(error).toMatchObject({ code: 'ERR_OPERATOR', operator });
  expect(error.message).toMatch(message);
  expect(error.message.split('\n')[0]).toContain(`${operator}: `);
  expect(error.message).not.toMatch(/Exception raised from|registered at/);
});

test('the message shows dtypes and shapes of what was given', () => {
  expect(thrown(() => a.add(b)).message).toContain(
    'called as add.Tensor(self: Float [2, 3], other: Float [4], alpha: the number 1)',
  );
  expect(thrown(() => a.view(7)).message).toContain('called as view(self: Float [2, 3], size: [7])');
  expect(thrown(() => callOperator('add.Tensor', a, b, 2)).message).toContain('alpha: the number 2');
});

test.each<[string, () => unknown]>([
  ['a petabyte', () => empty([2 ** 50])],
  ['more bytes than 64 bits hold', () => empty([2 ** 40, 2 ** 40])],
  ['elements that overflow', () => empty([2 ** 52, 2 ** 52])],
  [
    'a result too large',
    () =>
      empty([1])
        .expand(2 ** 50)
        .add(1),
  ],
])('too little memory is an error like any other: %s', (_what, run) => {
  const error = thrown(run);
  expect(error).toBeInstanceOf(OutOfMemoryError);
  expect(error.code).toBe('ERR_OUT_OF_MEMORY');
  expect(ones([3]).sum().item()).toBe(3);
});

const withoutCuda = addon.accelerator() === null || addon.deviceCount() === 0 ? test.each : test.skip.each;
withoutCuda<[string, () => unknown]>([
  ['a new tensor', () => zeros([2], { device: 'cuda' })],
  ['a numbered device', () => zeros([2], { device: 'cuda:1' })],
  ['a move', () => a.to({ device: 'cuda' })],
  ['its memory', () => deviceMemory('cuda')],
  ['waiting', () => synchronize('cuda')],
])('CUDA where there is none says why: %s', (_what, run) => {
  const error = thrown(run);
  expect(error).toBeInstanceOf(DeviceError);
  expect(error.code).toBe('ERR_DEVICE');
  expect(error.message).toMatch(/CUDA is not available: \S+/);
});

test('a call goes through after one that failed', () => {
  for (let i = 0; i < 100; i++) {
    expect(() => a.add(b)).toThrow(OperatorError);
    expect(a.add(a).sum().item()).toBe(12);
  }
});
