import { blipCaption, blipQuestion, ImageProcessor, mixture } from '../../src/data/index.ts';
import { drawNegatives, itcLoss, lmLoss } from '../../src/losses/index.ts';
import { Blip2Error } from '../../src/native/errors.ts';
import { attention } from '../../src/nn/attention.ts';
import { building, Module, Parameter } from '../../src/nn/index.ts';
import { AdamW, decayGroups } from '../../src/optim/index.ts';
import * as tensors from '../../src/tensor/index.ts';

const { autocast, enableGrad, fromTypedArray, full, inferenceMode, keep, noGrad, ones, scope, tensor, wrapTypedArray, zeros } =
  tensors;

class Scale extends Module {
  readonly weight = new Parameter(ones([2]));
}

/** A function without its types, as JavaScript calls it. */
const js = (f: unknown): ((...values: unknown[]) => unknown) => f as never;
const q = (): tensors.Tensor => ones([1, 1, 2, 4]);

type Call = [call: string, argument: string, run: () => unknown];

/** What is no tensor where one is wanted; a handle that a stray object bears is none either, nor is a generator's. */
function wrongTensors(): Call[] {
  const generator = new tensors.Generator(1);
  return [undefined, null, 'x', true, {}, { handle: 1 }, generator, [ones([1])]].flatMap((value): Call[] => {
    const shown = value === generator ? 'a generator' : (JSON.stringify(value) ?? 'undefined').slice(0, 20);
    return [
      [`x.add(${shown})`, 'other', () => js(q().add).call(q(), value)],
      [`x.matmul(${shown})`, 'other', () => js(q().matmul).call(q(), value)],
      [`x.add_(${shown})`, 'other', () => js(q().add_).call(q(), value)],
      [`x.maskedFill(${shown}, 0)`, 'mask', () => js(q().maskedFill).call(q(), value, 0)],
      [`linear(${shown}, w)`, 'input', () => js(tensors.linear)(value, ones([2, 2]))],
      [`normalize(${shown})`, 'self', () => js(tensors.normalize)(value)],
      ...(value === null || value === undefined
        ? []
        : ([
            [`linear(x, w, ${shown})`, 'bias', () => js(tensors.linear)(ones([2]), ones([2, 2]), value)],
            [`layerNorm(x, [4], ${shown})`, 'weight', () => js(tensors.layerNorm)(q(), [4], value, null, 1e-5)],
            [
              `scaledDotProductAttention(mask: ${shown})`,
              'mask',
              () => js(tensors.scaledDotProductAttention)(q(), q(), q(), { mask: value }),
            ],
            [`x.backward(${shown})`, 'gradient', () => js(q().backward).call(q(), value)],
          ] satisfies Call[])),
    ];
  });
}

function wrongOptions(): Call[] {
  const x = (): tensors.Tensor => ones([2]);
  return [
    ["rand([2], 'int64')", 'options', () => js(tensors.rand)([2], 'int64')],
    ['randn([2], null)', 'options', () => js(tensors.randn)([2], null)],
    ['randn([2], { seed })', 'options', () => js(tensors.randn)([2], { seed: 1 })],
    ['randint(0, 2, [2], { generator: 5 })', 'generator', () => js(tensors.randint)(0, 2, [2], { generator: 5 })],
    ['randperm(2, { generator: tensor })', 'generator', () => js(tensors.randperm)(2, { generator: x() })],
    ['bernoulli(x, { generator: {} })', 'generator', () => js(tensors.bernoulli)(x(), { generator: {} })],
    ['normal_(x, 0, 1, 7)', 'generator', () => js(tensors.normal_)(x(), 0, 1, 7)],
    ["multinomial(x, '1')", 'samples', () => js(tensors.multinomial)(x(), '1')],
    ['setRngState(undefined)', 'state', () => js(tensors.setRngState)(undefined)],
    ['autocast({ dtpye })', 'options', () => js(autocast)({ dtpye: 'bfloat16' }, () => 1)],
    ["mseLoss(x, x, 'avg')", 'reduction', () => js(tensors.mseLoss)(x(), x(), 'avg')],
    ['crossEntropy(x, x, null)', 'options', () => js(tensors.crossEntropy)(x(), x(), null)],
    ["crossEntropy(x, x, { reduction: 'avg' })", 'reduction', () => js(tensors.crossEntropy)(x(), x(), { reduction: 'avg' })],
    ['einsum(5, [x])', 'equation', () => js(tensors.einsum)(5, [x()])],
    ["einsum('i->i', x)", 'tensors', () => js(tensors.einsum)('i->i', x())],
    ["einsum('i->i', [{}])", 'tensors', () => js(tensors.einsum)('i->i', [{}])],
    ['x.index(() => 1)', 'an index', () => js(x().index).call(x(), () => 1)],
    ['x.indexPut_(0, y)', 'indices', () => js(x().indexPut_).call(x(), 0, x())],
    ['x.indexPut_([0], 5)', 'src', () => js(x().indexPut_).call(x(), [0], 5)],
    ['x.grad = 5', 'grad', () => Object.assign(x(), { grad: 5 })],
    ['grad([x], [x], { gradOutputs: 5 })', 'gradOutputs', () => js(tensors.grad)([x()], [x()], { gradOutputs: 5 })],
    ['grad(x, [x])', 'outputs', () => js(tensors.grad)(x(), [x()])],
    ["itemSize('float31')", 'dtype', () => js(tensors.itemSize)('float31')],
    ["x.to('cuda')", 'dtype', () => js(x().to).call(x(), 'cuda')],
    ["x.to('toString')", 'dtype', () => js(x().to).call(x(), 'toString')],
    ["module.freeze('weight')", 'the call', () => js(Scale.prototype.freeze).call(new Scale(), 'weight')],
    ["module.unfreeze('weight')", 'the call', () => js(Scale.prototype.unfreeze).call(new Scale(), 'weight')],
    ["module.train('yes')", 'mode', () => js(Scale.prototype.train).call(new Scale(), 'yes')],
    ['building({})', 'body', () => js(building)({})],
    ['building(null, f)', 'options', () => js(building)(null, () => 1)],
    ['decayGroups([x], {})', 'parameters', () => js(decayGroups)([x()], {})],
    ['attention(1, q, q)', 'q', () => js(attention)(1, q(), q())],
    ['lmLoss(5, x)', 'logits', () => js(lmLoss)(5, x())],
    ['itcLoss(x, null)', 'textToImage', () => js(itcLoss)(x(), null)],
    ['drawNegatives(x)', 'positives', () => js(drawNegatives)(x())],
    ['new ImageProcessor({ imageStd: [1, 0, 1] })', 'imageStd', () => new ImageProcessor({ imageStd: [1, 0, 1] })],
    ['new ImageProcessor({ imageMean: [1, NaN, 1] })', 'imageMean', () => new ImageProcessor({ imageMean: [1, Number.NaN, 1] })],
    ['new ImageProcessor({ rescaleFactor: 0 })', 'rescaleFactor', () => new ImageProcessor({ rescaleFactor: 0 })],
    ['new ImageProcessor({ doResize: 1 })', 'doResize', () => new ImageProcessor({ doResize: 1 as never })],
    ['new ImageProcessor({ size: 224 })', 'size.height', () => new ImageProcessor({ size: 224 as never })],
    ['blipCaption(5)', 'caption', () => js(blipCaption)(5)],
    ['blipQuestion()', 'question', () => js(blipQuestion)()],
    ['mixture(5)', 'parts', () => js(mixture)(5)],
  ];
}

/** What these run is over before it has begun: the rest runs outside of the mode. */
function laterBodies(): Call[] {
  const around: [string, (body: () => unknown) => unknown][] = [
    ['noGrad', noGrad],
    ['enableGrad', enableGrad],
    ['inferenceMode', inferenceMode],
    ['autocast', (body) => autocast({ dtype: 'bfloat16' }, body)],
    ['building', (body) => building({}, body)],
  ];
  return around.flatMap(([name, run]): Call[] => [
    [`${name}(async)`, 'body', () => run(async () => 1)],
    [
      `${name}(function*)`,
      'body',
      () =>
        run(function* () {
          yield 1;
        }),
    ],
  ]);
}

const CALLS: [call: string, argument: string, run: () => unknown][] = [
  ['scope(5)', 'body', () => js(scope)(5)],
  [
    'scope(function* () {})',
    'body',
    () =>
      scope(function* () {
        yield 1;
      }),
  ],
  [
    'scope(async function* () {})',
    'body',
    () =>
      scope(async function* () {
        yield 1;
      }),
  ],
  ['keep(null)', 'owner', () => js(keep)(null)],
  ['keep({})', 'owner', () => js(keep)({})],
  ['noGrad(0)', 'body', () => js(noGrad)(0)],
  ['enableGrad()', 'body', () => js(enableGrad)()],
  ['inferenceMode()', 'body', () => js(inferenceMode)()],
  ['autocast()', 'options', () => js(autocast)()],
  ["autocast({ dtype: 'bfloat16' })", 'body', () => js(autocast)({ dtype: 'bfloat16' })],
  ['ones([2], null)', 'options', () => js(ones)([2], null)],
  ["ones([2], 'int64')", 'options', () => js(ones)([2], 'int64')],
  ["ones([2], { dtpye: 'int64' })", 'options', () => js(ones)([2], { dtpye: 'int64' })],
  ["full([2], 1, { devise: 'cpu' })", 'options', () => js(full)([2], 1, { devise: 'cpu' })],
  ["tensor([1], { dtpye: 'int64' })", 'options', () => js(tensor)([1], { dtpye: 'int64' })],
  ['tensor([1], null)', 'options', () => js(tensor)([1], null)],
  ['fromTypedArray()', 'data', () => js(fromTypedArray)()],
  ['fromTypedArray([1])', 'data', () => js(fromTypedArray)([1])],
  ['wrapTypedArray()', 'data', () => js(wrapTypedArray)()],
  ['wrapTypedArray(null)', 'data', () => js(wrapTypedArray)(null)],
  ['tensor([1, undefined])', 'data', () => js(tensor)([1, undefined])],
  ['tensor()', 'data', () => js(tensor)()],
  ["tensor([256], { dtype: 'uint8' })", 'data', () => tensor([256], { dtype: 'uint8' })],
  ["tensor([-1], { dtype: 'uint8' })", 'data', () => tensor([-1], { dtype: 'uint8' })],
  ["tensor([-129], { dtype: 'int8' })", 'data', () => tensor([-129], { dtype: 'int8' })],
  ["tensor([2 ** 31], { dtype: 'int32' })", 'data', () => tensor([2 ** 31], { dtype: 'int32' })],
  ['tensor([2n ** 63n])', 'data', () => tensor([2n ** 63n])],
  ["tensor([NaN], { dtype: 'int16' })", 'data', () => tensor([Number.NaN], { dtype: 'int16' })],
  ['t.to()', 'options', () => js(ones([2]).to.bind(ones([2])))()],
  ['t.to({ dtpye })', 'options', () => js(ones([2]).to.bind(ones([2])))({ dtpye: 'int64' })],
  ['new Parameter()', 'data', () => Reflect.construct(Parameter, [])],
  ['new AdamW(null)', 'parameters', () => Reflect.construct(AdamW, [null])],
  ['new AdamW([null])', 'parameters[0]', () => Reflect.construct(AdamW, [[null]])],
  ['new AdamW([{ parameters: [3] }])', 'parameters[0]', () => Reflect.construct(AdamW, [[{ parameters: [3] }]])],
  ['loadStateDict({})', 'state', () => new Scale().loadStateDict({} as never)],
  ['loadStateDict()', 'state', () => new Scale().loadStateDict(undefined as never)],
  ['loadStateDict(no tensor)', 'state["weight"]', () => new Scale().loadStateDict(new Map([['weight', 3 as never]]))],
  ...wrongTensors(),
  ...wrongOptions(),
  ...laterBodies(),
  ['attention(both masks)', 'mask', () => attention(q(), q(), q(), { causal: true, mask: zeros([2, 2]) })],
];

test.each(CALLS)('%s names %s', (_call, argument, run) => {
  let error: unknown;
  try {
    scope(() => void run());
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(Blip2Error);
  expect(error).toMatchObject({ name: 'ArgumentError', argument });
});

test('a device in the place of a dtype is told where it goes', () => {
  for (const device of ['cuda', 'cuda:1', 'cpu', 'meta']) {
    expect(() => scope(() => js(q().to).call(q(), device))).toThrow(`(a device is given as { device: '${device}' })`);
  }
  expect(() => js(Scale.prototype.to).call(new Scale(), 'cuda')).toThrow("{ device: 'cuda' }");
});

test('the modes and the scope are as before after a refusal', () => {
  expect(() => js(noGrad)(0)).toThrow(Blip2Error);
  expect(tensors.isGradEnabled()).toBe(true);
  expect(() => js(scope)(5)).toThrow(Blip2Error);
  const outside = ones([1]); // would be freed with an enclosing scope that never closed
  expect(outside.net).not.toBeNull();
  outside.dispose();
});

test('what a dtype just holds is accepted, and exactly', () => {
  scope(() => {
    expect(tensor([0, 255, 254.9], { dtype: 'uint8' }).toArray()).toEqual([0, 255, 254]);
    expect(tensor([-128, 127], { dtype: 'int8' }).toArray()).toEqual([-128, 127]);
    expect(tensor([-(2n ** 63n), 2n ** 63n - 1n]).data()).toEqual(BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n));
    expect(tensor([7, 2n ** 64n - 1n], { dtype: 'uint64' }).data()).toEqual(BigUint64Array.of(7n, 2n ** 64n - 1n));
  });
});

test('a shape cannot be changed', () => {
  scope(() => {
    const x = ones([2, 3]);
    expect(() => (x.shape as number[]).push(4)).toThrow('not extensible');
    expect(() => js(Array.prototype.fill).call(x.shape, 9)).toThrow('read only');
    expect(x.shape).toEqual([2, 3]);
  });
});

test('the buffer under a tensor cannot be transferred away', () => {
  scope(() => {
    const array = Float32Array.of(1, 2, 3);
    const x = wrapTypedArray(array);
    try {
      structuredClone(array.buffer, { transfer: [array.buffer] }); // copies, or throws a DataCloneError, by the version of Node.js
    } catch (error) {
      expect(error).toMatchObject({ name: 'DataCloneError' });
    }
    expect(array).toHaveLength(3);
    expect(x.add_(1).toArray()).toEqual([2, 3, 4]);
    expect(array).toEqual(Float32Array.of(2, 3, 4));
  });
});
