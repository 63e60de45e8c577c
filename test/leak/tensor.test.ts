import {
  callOperator,
  crossEntropy,
  fromTypedArray,
  Generator,
  grad,
  inferenceMode,
  keep,
  linear,
  memory,
  noGrad,
  ones,
  randn,
  scope,
  setThreads,
  type Tensor,
  tensor,
  threads,
  wrapTypedArray,
} from '../../src/tensor/index.ts';
import { collected, growth } from '../support/resident.ts';

const STEPS = 15_000;

const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Everything that tensors do, a little of each: all of it is gone after the step, whichever way it ends. */
function step(i: number, weight: Tensor, bias: Tensor, generator: Generator): void {
  scope(() => {
    const x = randn([4, 8], { generator });
    const loss = crossEntropy(linear(x, weight, bias).gelu(), tensor([0n, 1n, 2n, BigInt(i % 3)]));
    if (i % 2 === 0) loss.backward();
    else for (const [k, g] of grad([loss], [weight, bias]).entries()) (k === 0 ? weight : bias).grad = g;
    noGrad(() => {
      weight.sub_((weight.grad as Tensor).mul(0.01));
      bias.sub_(bias.grad as Tensor, 0.01);
    });
    weight.grad = null;
    bias.grad = null;
    const y = x.clone();
    y.select(0, 1).fill_(3);
    y.index(tensor([0n, 2n]), 1)
      .sum()
      .item();
    y.indexPut_([1, '...'], tensor(0));
    for (const part of y.split(3, 1)) part.transpose(0, 1).toArray();
    inferenceMode(() => y.mul(2).maxWithIndices(1).values.data());
    fromTypedArray(new Float32Array(64));
    wrapTypedArray(new Float32Array(64)).add_(1);
    keep(ones([2])).dispose();
    scope(() => [y.add(1), { z: y.mul(2) }]);
    callOperator('topk', y, 2, 1, true, true);
    if (i % 10 === 0) y.toString();
  });
  try {
    scope(() => {
      const x = ones([2, 3]).requiresGrad_();
      const y = x.mul(x);
      scope(() => y.add(1));
      if (i % 3 === 0) y.matmul(y);
      if (i % 3 === 1) y.view(7);
      throw new Error('mine');
    });
  } catch {
    // every step ends in an error: libtorch's or its own
  }
}

test(`live tensors stay exactly as many over ${STEPS} steps, and resident memory stays`, async () => {
  const generator = new Generator(1);
  const weight = randn([3, 8], { generator }).requiresGrad_();
  const bias = ones([3]).requiresGrad_();
  let counts = memory();
  const resident: number[] = [];
  for (let i = 0; i < STEPS; i++) {
    step(i, weight, bias, generator);
    if (i === 10) counts = memory();
    if (i > 10 && i % 100 === 0) expect(memory()).toEqual(counts);
    if (i % 250 === 249) {
      await collected();
      resident.push(process.memoryUsage.rss());
    }
  }
  expect(memory()).toEqual(counts);
  expect(growth(resident)).toBeLessThan(4);
  weight.dispose();
  bias.dispose();
}, 240_000);

test('tensors outside scopes are collected, however many come', async () => {
  const x = ones([16]);
  await collected();
  const alive = memory().tensors;
  for (let round = 0; round < 40; round++) {
    for (let i = 0; i < 500; i++) x.add(i);
    await turn();
  }
  for (let i = 0; i < 20 && memory().tensors > alive; i++) await collected();
  expect(memory().tensors).toBe(alive);
  expect(x.sum().item()).toBe(16);
});
