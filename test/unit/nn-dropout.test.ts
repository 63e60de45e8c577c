import {
  attention,
  Dropout,
  type Dtype,
  eye,
  grad,
  loadSafetensors,
  manualSeed,
  ones,
  onesLike,
  setThreads,
  type Tensor,
  threads,
  zeros,
} from '../../src/index.ts';
import { expectClose, expectEqual } from '../closeness.ts';

// Small tensors: threads that wait for one another would only cost time on a machine that runs other tests beside these.
const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

const golden = loadSafetensors('test/fixtures/nn/dropout.safetensors');
test.each([
  { seed: '0', p: 0.1 },
  { seed: '12345678901', p: 0.5 },
])('dropout draws what torch draws after seed $seed', ({ seed, p }) => {
  const x = (golden.get(`${seed}.x`) as Tensor).clone().requiresGrad_();
  const layer = new Dropout(p);
  manualSeed(BigInt(seed));
  const first = layer.forward(x);
  const second = layer.forward(x);
  expectEqual(first, golden.get(`${seed}.first`) as Tensor);
  expectEqual(second, golden.get(`${seed}.second`) as Tensor);
  const [gradient] = grad([first], [x], { gradOutputs: [onesLike(first)] });
  expectEqual(gradient as Tensor, golden.get(`${seed}.grad`) as Tensor);
});

/** Checks that what is there is 0 or `kept`, and that 0 comes with probability p, to five standard deviations. */
function expectDropped(out: Tensor, p: number, kept: number): void {
  const values = out.float().data() as Float32Array;
  const zeroed = values.filter((value) => value === 0).length;
  const deviation = values.reduce((most, value) => (value === 0 ? most : Math.max(most, Math.abs(value / kept - 1))), 0);
  expect(deviation).toBeLessThan(out.dtype === 'bfloat16' ? 4e-3 : 1e-6);
  expect(Math.abs(zeroed / values.length - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / values.length));
}

describe.each([{ dtype: 'float32' }, { dtype: 'bfloat16' }] as const)('dropout in $dtype', ({ dtype }: { dtype: Dtype }) => {
  test.each([0.1, 0.5])('zeroes with probability %p and scales the others', (p) => {
    manualSeed(3);
    const x = ones([200, 300], { dtype }).requiresGrad_();
    const out = new Dropout(p).forward(x);
    expectDropped(out, p, 1 / (1 - p));
    const [gradient] = grad([out], [x], { gradOutputs: [onesLike(out)] });
    expectEqual(gradient as Tensor, out);
  });

  test('the same seed drops the same, the next call other elements', () => {
    const layer = new Dropout(0.5);
    const x = ones([40, 40], { dtype });
    manualSeed(11);
    const [first, second] = [layer.forward(x), layer.forward(x)];
    manualSeed(11);
    expectEqual(layer.forward(x), first);
    expect(second.data()).not.toEqual(first.data());
  });

  test('evaluation drops nothing', () => {
    const x = ones([10], { dtype });
    expect(new Dropout(0.9).eval().forward(x)).toBe(x);
  });

  test.each(['plain', 'masked', 'causal'])('attention (%s) drops weights, with their gradient', (how) => {
    // Equal scores and an identity for v: the outputs are the dropped weights themselves.
    const [B, H, L] = [4, 6, 32];
    const q = zeros([B, H, L, L], { dtype });
    const v = eye(L, { dtype }).expand(B, H, L, L).clone().requiresGrad_();
    const options = how === 'masked' ? { mask: ones([L, L], { dtype: 'bool' }) } : { causal: how === 'causal' };
    manualSeed(5);
    const out = attention(q, q, v, { ...options, dropout: 0.25 });
    // With `causal` the last row alone sees all positions.
    const rows = how === 'causal' ? out.slice(2, L - 1) : out;
    expectDropped(rows, 0.25, 1 / (0.75 * L));
    // d sum(out) / d v[k, :] is the sum over q of weight[q, k].
    const [gradient] = grad([out], [v], { gradOutputs: [onesLike(out)] });
    const sums = out.detach().float().sum(2).unsqueeze(-1).expand(B, H, L, L);
    expectClose(gradient as Tensor, sums, dtype === 'bfloat16' ? 2e-2 : 1e-5);
    manualSeed(5);
    expectEqual(attention(q, q, v, { ...options, dropout: 0.25 }), out);
  });
});
