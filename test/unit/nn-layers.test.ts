import {
  type ActivationName,
  type AttentionOptions,
  activation,
  attention,
  building,
  Conv2d,
  type Dtype,
  Embedding,
  grad,
  LayerNorm,
  Linear,
  loadSafetensors,
  type Module,
  scaledDotProductAttention,
  setThreads,
  type Tensor,
  threads,
  zeros,
} from '../../src/index.ts';
import { expectClose, expectGradientClose } from '../closeness.ts';

// Small tensors: threads that wait for one another would only cost time on a machine that runs other tests beside these.
const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

// Made by scripts/oracle/nn_layers.py.
const golden = loadSafetensors('test/fixtures/nn/layers.safetensors');

interface Case {
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly upstream: Tensor;
  readonly out: Tensor;
  readonly grads: Readonly<Record<string, Tensor>>;
}

function load(name: string): Case {
  const part = (kind: string): Record<string, Tensor> => {
    const prefix = `${name}.${kind}.`;
    const found = [...golden].filter(([key]) => key.startsWith(prefix));
    return Object.fromEntries(found.map(([key, value]) => [key.slice(prefix.length), value.clone()]));
  };
  const { upstream, ...inputs } = part('in');
  return { inputs, upstream: upstream as Tensor, out: golden.get(`${name}.out`) as Tensor, grads: part('grad') };
}

// bfloat16 has 8 bits; the explicit attention rounds its weights once more than the kernel of the golden does.
const FORMATS: readonly { dtype: Dtype; suffix: string; forward: number; gradient: number }[] = [
  { dtype: 'float32', suffix: '', forward: 1e-5, gradient: 1e-4 },
  { dtype: 'bfloat16', suffix: '.bf16', forward: 2e-2, gradient: 2e-2 },
];

/** Runs a case; `wrt` are the tensors that its gradients are of. */
function check(
  name: string,
  run: (inputs: Record<string, Tensor>, dtype: Dtype) => { out: Tensor; wrt: Record<string, Tensor> },
): void {
  describe.each(FORMATS)(`${name} in $dtype`, ({ dtype, suffix, forward, gradient }) => {
    test('gives the outputs and gradients of torch', () => {
      const { inputs, upstream, out, grads } = load(name + suffix);
      const mine = run(inputs, dtype);
      expect(mine.out.dtype).toBe(dtype);
      expectClose(mine.out, out, forward);
      expect(Object.keys(mine.wrt).sort()).toEqual(Object.keys(grads).sort());
      const names = Object.keys(grads);
      const computed = grad(
        [mine.out],
        names.map((key) => mine.wrt[key] as Tensor),
        { gradOutputs: [upstream] },
      );
      for (const [i, key] of names.entries()) expectGradientClose(computed[i] as Tensor, grads[key] as Tensor, gradient);
    });
  });
}

/** Loads the inputs that are a layer's parameters, and applies it to `x`. */
function apply<M extends Module & { forward(x: Tensor): Tensor }>(dtype: Dtype, make: () => M, inputs: Record<string, Tensor>) {
  const layer = building({ dtype }, make);
  const { x, ...parameters } = inputs as { x: Tensor } & Record<string, Tensor>;
  layer.loadStateDict(new Map(Object.entries(parameters)));
  return { out: layer.forward(x.requiresGrad_()), wrt: { x, ...Object.fromEntries(layer.namedParameters()) } };
}

check('linear', (inputs, dtype) => apply(dtype, () => new Linear(12, 7), inputs));
check('linear_no_bias', (inputs, dtype) => apply(dtype, () => new Linear(12, 7, { bias: false }), inputs));
check('layer_norm', (inputs, dtype) => apply(dtype, () => new LayerNorm(16, { eps: 1e-12 }), inputs));
check('layer_norm_plain', (inputs, dtype) => apply(dtype, () => new LayerNorm(16, { affine: false }), inputs));
check('embedding', ({ weight, ids }, dtype) => {
  const layer = building({ dtype }, () => new Embedding(11, 6));
  layer.loadStateDict(new Map([['weight', weight as Tensor]]));
  return { out: layer.forward(ids as Tensor), wrt: { weight: layer.weight } };
});

for (const name of ['gelu', 'gelu_new', 'quick_gelu', 'relu', 'silu'] as const satisfies readonly ActivationName[]) {
  check(name, ({ x }) => ({ out: activation(name)((x as Tensor).requiresGrad_()), wrt: { x: x as Tensor } }));
}

function attend(options: AttentionOptions, inputs: Record<string, Tensor>) {
  const { q, k, v, mask = null } = inputs as { q: Tensor; k: Tensor; v: Tensor; mask?: Tensor };
  const wrt: Record<string, Tensor> = { q, k, v };
  if (mask !== null && mask.dtype !== 'bool') wrt.mask = mask;
  for (const leaf of Object.values(wrt)) leaf.requiresGrad_();
  return { out: attention(q, k, v, { ...options, mask }), wrt };
}

check('attention', (inputs) => attend({}, inputs));
check('attention_scale', (inputs) => attend({ scale: 0.21 }, inputs));
check('attention_causal', (inputs) => attend({ causal: true }, inputs));
check('attention_allowed', (inputs) => attend({}, inputs));
check('attention_padding', (inputs) => attend({}, inputs));
check('attention_blind', (inputs) => attend({}, inputs));
check('attention_added', (inputs) => attend({}, inputs));

test.each([
  [1, 5000],
  [5000, 1],
])('keys and values of different length (%i, %i) are refused, not read beyond their end', (keys, values) => {
  const of = (length: number): Tensor => zeros([1, 2, length, 8]);
  const wrong = expect.objectContaining({ code: 'ERR_ARGUMENT', argument: 'v' });
  expect(() => attention(of(3), of(keys), of(values))).toThrow(wrong);
  expect(() => scaledDotProductAttention(of(3), of(keys), of(values))).toThrow(wrong);
});

test.each<[string, [number, number, number]]>([
  ['inChannels', [0, 4, 2]],
  ['kernel', [3, 4, 0]],
])('a convolution over nothing is refused by its %s', (argument, [inChannels, outChannels, kernel]) => {
  expect(() => new Conv2d(inChannels, outChannels, kernel)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT', argument }));
});
