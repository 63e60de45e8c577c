import {
  ArgumentError,
  autocast,
  backward,
  crossEntropy,
  Generator,
  grad,
  linear,
  linearCrossEntropy,
  memory,
  noGrad,
  randint,
  randn,
  scope,
  setThreads,
  type Tensor,
  tensor,
} from '../../src/index.ts';
import { expectClose, expectGradientClose } from '../closeness.ts';
import { gradcheck } from '../support/gradcheck.ts';

beforeAll(() => setThreads(1));

/** 11 tokens of 6 numbers, 13 words; two targets do not count. */
function material(dtype: 'float32' | 'bfloat16' | 'float64' = 'float32') {
  const generator = new Generator(3);
  const hidden = randn([11, 6], { generator }).to(dtype).requiresGrad_();
  const weight = randn([13, 6], { generator }).to(dtype);
  const targets = randint(0, 13, [11], { generator });
  targets.select(0, 2).fill_(-100);
  targets.select(0, 10).fill_(-100);
  return { hidden, weight, targets };
}

/** The same with all logits at once. */
function whole(hidden: Tensor, weight: Tensor, targets: Tensor, labelSmoothing = 0): Tensor {
  return crossEntropy(linear(hidden, weight).float(), targets, { labelSmoothing });
}

describe.each([0, 0.1])('smoothed by %d', (labelSmoothing) => {
  test.each([1, 4, 11, undefined])('in chunks of %p the loss and both gradients are those of all logits at once', (chunk) => {
    scope(() => {
      const { hidden, weight, targets } = material();
      weight.requiresGrad_();
      const options = { labelSmoothing, ...(chunk === undefined ? {} : { chunk }) };
      const { loss } = linearCrossEntropy(hidden, weight, targets, options);
      const expected = whole(hidden, weight, targets, labelSmoothing);
      expectClose(loss, expected, 1e-6);
      const ours = grad([loss.mul(3)], [hidden, weight]);
      const theirs = grad([expected.mul(3)], [hidden, weight]);
      for (const [i, gradient] of ours.entries()) expectGradientClose(gradient, theirs[i] as Tensor, 1e-5);
    });
  });

  test('bfloat16 is as near to float32 as with all logits at once', () => {
    scope(() => {
      const { hidden, weight, targets } = material('bfloat16');
      const exact = [hidden.detach().float().requiresGrad_(), weight.float()] as const;
      const reference = whole(...exact, targets, labelSmoothing);
      const expected = grad([reference], [exact[0]])[0] as Tensor;
      const error = (loss: Tensor): number => {
        expect(Math.abs(loss.item() - reference.item())).toBeLessThan(0.02);
        const gradient = grad([loss], [hidden])[0] as Tensor;
        expect(gradient.dtype).toBe('bfloat16');
        return gradient.float().sub(expected).norm().item() / expected.norm().item();
      };
      const ours = error(linearCrossEntropy(hidden, weight, targets, { labelSmoothing, chunk: 4 }).loss);
      expect(ours).toBeLessThan(Math.max(0.01, 1.5 * error(whole(hidden, weight, targets, labelSmoothing))));
    });
  });

  test('finite differences', () => {
    scope(() => {
      const { hidden, weight, targets } = material('float64');
      const loss = (...[h, w]: Tensor[]): Tensor =>
        linearCrossEntropy(h as Tensor, w as Tensor, targets, { labelSmoothing, chunk: 3 }).loss.view(1);
      expect(gradcheck((h, w) => loss(h as Tensor, w as Tensor), [hidden, weight])).toBeLessThan(1e-7);
    });
  });
});

test('under autocast the logits are in its dtype, the loss in float32', () => {
  scope(() => {
    const { hidden, weight, targets } = material();
    const { loss } = autocast({ dtype: 'bfloat16' }, () => linearCrossEntropy(hidden, weight, targets));
    const expected = autocast({ dtype: 'bfloat16' }, () => whole(hidden, weight, targets));
    expect(loss.dtype).toBe('float32');
    expectClose(loss, expected, 1e-5);
    expectGradientClose(grad([loss], [hidden])[0] as Tensor, grad([expected], [hidden])[0] as Tensor, 0.01);
  });
});

test('the share of targets whose logit is the greatest', () => {
  scope(() => {
    const weight = tensor([
      [1, 0],
      [0, 1],
      [-1, -1],
    ]);
    const hidden = tensor([
      [2, 0],
      [0, 2],
      [2, 0],
      [1, 0],
    ]);
    const { accuracy } = linearCrossEntropy(hidden, weight, tensor([0n, 1n, 1n, -100n]), { chunk: 2 });
    expect(accuracy.item()).toBeCloseTo(2 / 3, 6);
  });
});

test('targets that do not count may stand on anything, and get no gradient', () => {
  scope(() => {
    const { hidden, weight, targets } = material();
    noGrad(() => hidden.select(0, 2).fill_(Number.NaN));
    const { loss } = linearCrossEntropy(hidden, weight, targets);
    expect(loss.isfinite().all().item()).toBeTruthy();
    expect(grad([loss], [hidden])[0]?.isfinite().all().item()).toBeTruthy();
  });
  scope(() => {
    const { hidden, weight, targets } = material();
    const gradient = grad([linearCrossEntropy(hidden, weight, targets).loss], [hidden])[0] as Tensor;
    expect(gradient.select(0, 2).abs().max().item()).toBe(0);
    const none = linearCrossEntropy(hidden, weight, targets.mul(0).sub(100));
    expect(none.loss.item()).toBe(0);
    expect((grad([none.loss], [hidden])[0] as Tensor).abs().max().item()).toBe(0);
  });
});

test('a loss that is not finite is not hidden', () => {
  scope(() => {
    const { hidden, weight, targets } = material();
    noGrad(() => hidden.select(0, 0).fill_(Number.POSITIVE_INFINITY));
    expect(Number.isNaN(linearCrossEntropy(hidden, weight, targets).loss.item())).toBe(true);
  });
});

test('without a target to be left out there is nothing to compare', () => {
  scope(() => {
    const { hidden, weight } = material();
    const targets = randint(0, 13, [11], { generator: new Generator(2) });
    const { loss } = linearCrossEntropy(hidden, weight, targets, { ignoreIndex: null, chunk: 4 });
    const expected = whole(hidden, weight, targets);
    expectClose(loss, expected, 1e-6);
    expectGradientClose(grad([loss], [hidden])[0] as Tensor, grad([expected], [hidden])[0] as Tensor, 1e-5);
  });
});

test('a frozen table gets no gradient, and nothing of the size of the logits stays', () => {
  scope(() => {
    const generator = new Generator(1);
    const hidden = randn([64, 8], { generator }).requiresGrad_();
    const weight = randn([5000, 8], { generator });
    const targets = randint(0, 5000, [64], { generator });
    const before = memory().bytes;
    const { loss } = linearCrossEntropy(hidden, weight, targets, { chunk: 8 });
    expect(memory().bytes - before).toBeLessThan(64 * 5000);
    backward([loss]);
    expect(weight.grad).toBeNull();
    expect(hidden.grad?.shape).toEqual([64, 8]);
  });
});

test.each([
  ['hidden', () => linearCrossEntropy(randn([2, 3, 4]), randn([5, 4]), tensor([0n]))],
  ['weight', () => linearCrossEntropy(randn([2, 4]), randn([5, 3]), tensor([0n, 1n]))],
  ['targets', () => linearCrossEntropy(randn([2, 4]), randn([5, 4]), tensor([0n]))],
  ['labelSmoothing', () => linearCrossEntropy(randn([1, 4]), randn([5, 4]), tensor([0n]), { labelSmoothing: 1 })],
  ['chunk', () => linearCrossEntropy(randn([1, 4]), randn([5, 4]), tensor([0n]), { chunk: 0 })],
])('a wrong %s is named', (argument, call) => {
  const caught = (): unknown => {
    try {
      return scope(call);
    } catch (error) {
      return error;
    }
  };
  expect(caught()).toBeInstanceOf(ArgumentError);
  expect((caught() as ArgumentError).argument).toBe(argument);
});
