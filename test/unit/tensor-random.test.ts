import {
  bernoulli,
  type Dtype,
  dropout,
  empty,
  exponential_,
  Generator,
  linspace,
  loadSafetensors,
  manualSeed,
  multinomial,
  normal_,
  ones,
  rand,
  randint,
  randn,
  randperm,
  scope,
  type Tensor,
  tensor,
  uniform_,
} from '../../src/tensor/index.ts';

const SEEDS = [0n, 1n, 42n, 2n ** 63n + 12345n];

const golden = loadSafetensors('test/fixtures/tensor/random.safetensors');

function expectSame(from: ReadonlyMap<string, Tensor>, name: string, got: Tensor): void {
  const wanted = from.get(name) as Tensor;
  expect([name, got.dtype, got.shape, got.data()]).toEqual([name, wanted.dtype, wanted.shape, wanted.data()]);
}

describe.each(SEEDS)('a generator with seed %p', (seed) => {
  const key = `${seed}.`;
  const state = (i: number): Uint8Array => golden.get(`${key}state.${i}`)?.data() as Uint8Array;

  const drawNormals = (generator: Generator): void => {
    for (const size of [1, 3, 15, 16, 17, 100, 1000]) {
      expectSame(golden, `${key}randn.${size}`, randn([size], { generator }));
      expectSame(golden, `${key}randn64.${size}`, randn([size], { generator, dtype: 'float64' }));
    }
    expectSame(golden, `${key}randn.bfloat16`, randn([5, 7], { generator, dtype: 'bfloat16' }));
  };
  const drawRest = (generator: Generator): void => {
    expectSame(golden, `${key}rand`, rand([3, 7], { generator }));
    expectSame(golden, `${key}rand64`, rand([3, 7], { generator, dtype: 'float64' }));
    for (const n of [1, 2, 10, 1000]) expectSame(golden, `${key}randperm.${n}`, randperm(n, { generator }));
    expectSame(golden, `${key}randint`, randint(-5, 1000, [4, 5], { generator }));
    expectSame(golden, `${key}randint.wide`, randint(-(2 ** 40), 2 ** 40, [9], { generator }));
    const weights = golden.get('weights') as Tensor;
    expectSame(golden, `${key}multinomial.replacement`, multinomial(weights, 12, { replacement: true, generator }));
    expectSame(golden, `${key}normal`, normal_(empty([33]), 2, 0.5, generator));
    expectSame(golden, `${key}normal.small`, normal_(empty([5]), -1, 3, generator));
    expectSame(golden, `${key}uniform`, uniform_(empty([20]), -2, 3, generator));
  };

  test("draws PyTorch's numbers and has PyTorch's states", () => {
    scope(() => {
      const generator = new Generator(seed);
      expect(generator.getState()).toEqual(state(0));
      drawNormals(generator);
      expect(generator.getState()).toEqual(state(1));
      drawRest(generator);
      expect(generator.getState()).toEqual(state(2));
    });
  });

  test('goes on from a saved state, its own or one of PyTorch', () => {
    scope(() => {
      const generator = new Generator(999).setState(state(1));
      drawRest(generator);
      generator.setState(state(0));
      drawNormals(generator);
      const saved = generator.getState();
      const first = rand([50], { generator });
      const again = rand([50], { generator: new Generator(5).setState(saved) });
      expect(again.data()).toEqual(first.data());
      generator.seed(seed);
      drawNormals(generator);
    });
  });

  test('multinomial, bernoulli, exponential and dropout are as PyTorch draws them', () => {
    scope(() => {
      const generator = new Generator(seed);
      const weights = golden.get('weights') as Tensor;
      expectSame(golden, `${key}multinomial`, multinomial(weights, 4, { generator }));
      expectSame(golden, `${key}multinomial.one`, multinomial(weights, 1, { generator }));
      expectSame(golden, `${key}bernoulli`, bernoulli(linspace(0, 1, 40), { generator }));
      expectSame(golden, `${key}exponential`, exponential_(empty([30]), 1.5, generator));
      expectSame(golden, `${key}exponential64`, exponential_(empty([30], { dtype: 'float64' }), 1, generator));
      expect(generator.getState()).toEqual(golden.get(`${key}state.others`)?.data());
      manualSeed(seed);
      expectSame(golden, `${key}dropout`, dropout(ones([8, 9]), 0.3));
      expectSame(golden, `${key}global.randn`, randn([20]));
    });
  });
});

test('two generators do not disturb each other, nor the global one', () => {
  scope(() => {
    manualSeed(7);
    const alone = rand([5]).data();
    const [a, b] = [new Generator(1), new Generator(2)];
    const whole = rand([10], { generator: new Generator(1) }).data();
    manualSeed(7);
    const first = rand([5], { generator: a }).data();
    rand([5], { generator: b });
    expect(rand([5]).data()).toEqual(alone);
    const second = rand([5], { generator: a }).data();
    expect([...first, ...second]).toEqual([...whole]);
  });
});

test.each(['float16', 'float32', 'float64'] as Dtype[])('draws have the asked-for moments in %s', (dtype) => {
  scope(() => {
    const generator = new Generator(3);
    const sample = randn([20000], { dtype, generator }).to('float64');
    expect(Math.abs(sample.mean().item())).toBeLessThan(5 / Math.sqrt(20000));
    expect(Math.abs(sample.std().item() - 1)).toBeLessThan(0.03);
  });
});

test('wrong states, seeds and weights are typed errors', () => {
  const generator = new Generator(1);
  expect(() => generator.setState(new Uint8Array(3))).toThrow(expect.objectContaining({ code: 'ERR_OPERATOR' }));
  expect(() => new Generator(1.5)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT', argument: 'seed' }));
  expect(() => new Generator(2n ** 64n)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT', argument: 'seed' }));
  expect(() => multinomial(tensor([1, -1]), 1)).toThrow(
    expect.objectContaining({ code: 'ERR_OPERATOR', operator: 'multinomial' }),
  );
  expect(() => multinomial(tensor([1, 1]), 3)).toThrow(
    expect.objectContaining({ code: 'ERR_OPERATOR', operator: 'multinomial' }),
  );
  expect(() => multinomial(tensor([1, 1]), 0)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT', argument: 'samples' }));
});
