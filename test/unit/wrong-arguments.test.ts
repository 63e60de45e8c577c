import { Blip2Error } from '../../src/native/errors.ts';
import { attention } from '../../src/nn/attention.ts';
import { Module, Parameter } from '../../src/nn/index.ts';
import { AdamW } from '../../src/optim/index.ts';
import * as tensors from '../../src/tensor/index.ts';

const { autocast, enableGrad, fromTypedArray, full, inferenceMode, keep, noGrad, ones, scope, tensor, wrapTypedArray, zeros } =
  tensors;

class Scale extends Module {
  readonly weight = new Parameter(ones([2]));
}

/** A function without its types, as JavaScript calls it. */
const js = (f: unknown): ((...values: unknown[]) => unknown) => f as never;
const q = (): tensors.Tensor => ones([1, 1, 2, 4]);

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
