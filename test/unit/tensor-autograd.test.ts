import {
  arange,
  autocast,
  backward,
  cat,
  conv2d,
  crossEntropy,
  embedding,
  enableGrad,
  Generator,
  grad,
  inferenceMode,
  isGradEnabled,
  layerNorm,
  linear,
  noGrad,
  ones,
  randn,
  scaledDotProductAttention,
  scope,
  type Tensor,
  tensor,
  zeros,
} from '../../src/tensor/index.ts';
import { gradcheck } from '../support/gradcheck.ts';

const leaf = (...values: number[]): Tensor => tensor(values, { dtype: 'float64' }).requiresGrad_();

describe('finite differences through the bridge', () => {
  const generator = new Generator(7);
  const normal = (...shape: number[]): Tensor => randn(shape, { dtype: 'float64', generator });
  const ids = tensor([0n, 3n, 3n, 1n]);

  test.each<[string, (...x: Tensor[]) => Tensor, Tensor[]]>([
    [
      'add, sub, mul, div with broadcasting',
      (a, b) =>
        a
          ?.add(b as Tensor, 2)
          .mul(b as Tensor)
          .div(b?.exp() as Tensor)
          .sub(a) as Tensor,
      [normal(3, 4), normal(4)],
    ],
    ['exp, log, sqrt, tanh, sigmoid', (x) => x?.exp().log1p().sqrt().tanh().sigmoid() as Tensor, [normal(5)]],
    ['gelu and its approximation', (x) => x?.gelu().add(x.gelu('tanh')) as Tensor, [normal(3, 5)]],
    ['matmul, batched and broadcast', (a, b) => a?.matmul(b as Tensor) as Tensor, [normal(2, 3, 4), normal(4, 5)]],
    ['linear', (x, w, b) => linear(x as Tensor, w as Tensor, b), [normal(2, 3, 4), normal(5, 4), normal(5)]],
    ['layerNorm', (x, w, b) => layerNorm(x as Tensor, [6], w as Tensor, b as Tensor, 1e-5), [normal(3, 6), normal(6), normal(6)]],
    ['softmax and logSoftmax', (x) => x?.softmax(-1).add(x.logSoftmax(0)) as Tensor, [normal(3, 4)]],
    [
      'sum, mean, var, amax, logsumexp, norm',
      (x) => cat([x?.sum(0), x?.mean(0), x?.var(0), x?.amax(0), x?.logsumexp(0), x?.norm(2, 0)] as Tensor[]),
      [normal(4, 3)],
    ],
    ['views: permute, reshape, narrow, select, expand, flip, split', views, [normal(2, 3, 4)]],
    ['indices: gather, indexSelect, masks, indexing', indices, [normal(4, 3)]],
    ['embedding', (w) => embedding(w as Tensor, ids), [normal(5, 3)]],
    [
      'crossEntropy with smoothing and ignored targets',
      (x) => crossEntropy(x as Tensor, tensor([1n, -100n, 2n]), { labelSmoothing: 0.1 }),
      [normal(3, 4)],
    ],
    [
      'conv2d',
      (x, w, b) => conv2d(x as Tensor, w as Tensor, b as Tensor, 2, 1),
      [normal(1, 2, 5, 5), normal(3, 2, 3, 3), normal(3)],
    ],
    [
      'attention',
      (q, k, v) => scaledDotProductAttention(q as Tensor, k as Tensor, v as Tensor),
      [normal(1, 2, 3, 4), normal(1, 2, 5, 4), normal(1, 2, 5, 4)],
    ],
    ['in-place changes of a copy', (x) => inPlace(x as Tensor), [normal(3, 4)]],
  ])('%s', (_name, f, inputs) => {
    expect(gradcheck(f, inputs)).toBeLessThan(1e-7);
  });

  function views(x?: Tensor): Tensor {
    const y = (x as Tensor).permute(2, 0, 1).reshape(4, 6).narrow(0, 1, 2).flip(1);
    const [first, second] = y.split(3, 1) as [Tensor, Tensor];
    return cat([first.mul(second), second.select(0, 1).expand(2, 3)]);
  }
  function indices(x?: Tensor): Tensor {
    const y = x as Tensor;
    const picked = y.gather(
      1,
      tensor([
        [0n, 2n],
        [1n, 1n],
        [2n, 0n],
        [0n, 0n],
      ]),
    );
    return cat([picked.reshape(-1), y.indexSelect(0, ids).reshape(-1), y.maskedFill(y.gt(0), 2).reshape(-1), y.index(ids, 1)]);
  }
  function inPlace(x: Tensor): Tensor {
    const y = x.clone();
    y.select(0, 1).mul_(3);
    y.narrow(1, 0, 2).add_(x.narrow(1, 2, 2));
    y.maskedFill_(y.detach().gt(2), 0);
    return y;
  }
});

test('backward accumulates; grad of given inputs does not', () => {
  const [x, y] = [leaf(1, 2), leaf(3, 4)];
  const z = x.mul(y).sum();
  z.backward(null, { retainGraph: true });
  z.backward();
  expect([x.grad?.toArray(), y.grad?.toArray()]).toEqual([
    [6, 8],
    [2, 4],
  ]);
  const [gx] = grad([x.mul(y).sum()], [x]) as [Tensor];
  expect(gx.toArray()).toEqual([3, 4]);
  expect(x.grad?.toArray()).toEqual([6, 8]);
  x.grad = null;
  expect(x.grad).toBeNull();
  x.grad = ones([2], { dtype: 'float64' });
  backward([x.mul(2).sum(), y.sum()], { inputs: [x] });
  expect([x.grad?.toArray(), y.grad?.toArray()]).toEqual([
    [3, 3],
    [2, 4],
  ]);
});

test('gradients of outputs, and several outputs at once', () => {
  const x = leaf(1, 2);
  x.mul(x).backward(tensor([1, 10], { dtype: 'float64' }));
  expect(x.grad?.toArray()).toEqual([2, 40]);
  const [g] = grad([x.sum(), x.mul(3)], [x], { gradOutputs: [null, ones([2], { dtype: 'float64' })] }) as [Tensor];
  expect(g.toArray()).toEqual([4, 4]);
});

test('createGraph: gradients of gradients', () => {
  const x = leaf(2);
  const [first] = grad([x.pow(4)], [x], { createGraph: true }) as [Tensor];
  const [second] = grad([first], [x], { createGraph: true }) as [Tensor];
  const [third] = grad([second], [x]) as [Tensor];
  expect([first.item(), second.item(), third.item()]).toEqual([32, 48, 48]);
  expect(
    gradcheck(
      (y) => grad([(y as Tensor).pow(3).exp().sum()], [y as Tensor], { createGraph: true })[0] as Tensor,
      [tensor([0.3, -0.7])],
    ),
  ).toBeLessThan(1e-7);
});

test('unused inputs are an error, or null where they are allowed', () => {
  const [x, y] = [leaf(1), leaf(2)];
  expect(() => grad([x.sum()], [x, y])).toThrow(expect.objectContaining({ code: 'ERR_OPERATOR', operator: 'grad' }));
  const [gx, gy] = grad([x.sum()], [x, y], { allowUnused: true });
  expect([gx?.item(), gy]).toEqual([1, null]);
});

test('a graph is gone after backward unless it is kept', () => {
  const x = leaf(1, 2);
  const z = x.mul(x).sum();
  z.backward();
  expect(() => z.backward()).toThrow(expect.objectContaining({ code: 'ERR_OPERATOR', operator: 'backward' }));
});

test('what backward needs and was changed in place since is found out', () => {
  const x = leaf(1, 2);
  const y = x.exp();
  y.add_(1);
  expect(() => y.sum().backward()).toThrow(/modified by an inplace operation/);
});

test('gradients outlive the scope that made them, and the tensors of the graph', () => {
  const x = leaf(1, 2);
  scope(() => x.mul(3).exp().log().sum().backward());
  expect(x.grad?.toArray().toString()).toBe('3,3');
  const y = scope(() => {
    const inner = x.mul(2);
    return inner.mul(inner).sum();
  });
  const [g] = grad([y], [x]) as [Tensor];
  expect(g.toArray()).toEqual([8, 16]);
});

describe('modes', () => {
  test('noGrad and enableGrad nest and are restored, also after an error', () => {
    const x = leaf(1);
    expect(isGradEnabled()).toBe(true);
    noGrad(() => {
      expect(x.mul(2).requiresGrad).toBe(false);
      enableGrad(() => expect(x.mul(2).requiresGrad).toBe(true));
      expect(isGradEnabled()).toBe(false);
    });
    expect(() =>
      noGrad(() => {
        throw new Error('mine');
      }),
    ).toThrow('mine');
    expect(isGradEnabled()).toBe(true);
  });

  test('tensors of inference mode stay out of graphs', () => {
    const x = leaf(1, 2);
    const frozen = inferenceMode(() => {
      expect(isGradEnabled()).toBe(false);
      inferenceMode(() => undefined);
      expect(isGradEnabled()).toBe(false);
      return ones([2], { dtype: 'float64' });
    });
    expect(isGradEnabled()).toBe(true);
    expect(() => x.mul(frozen)).toThrow(expect.objectContaining({ code: 'ERR_OPERATOR', operator: 'mul.Tensor' }));
    expect(() => frozen.requiresGrad_()).toThrow(expect.objectContaining({ code: 'ERR_OPERATOR' }));
    expect(() => inferenceMode(() => frozen.view(2)).add_(1)).toThrow(/Inplace update to inference tensor/);
    expect(x.mul(frozen.clone()).requiresGrad).toBe(true);
    expect(() =>
      inferenceMode(() => {
        throw new Error('mine');
      }),
    ).toThrow('mine');
    expect(x.mul(2).requiresGrad).toBe(true);
  });

  test('autocast: products in bfloat16, what needs precision in float32; gradients in the leaves’ dtype', () => {
    const x = ones([4, 8]).requiresGrad_();
    const w = ones([3, 8]).requiresGrad_();
    autocast({ dtype: 'bfloat16' }, () => {
      const y = linear(x, w);
      expect(y.dtype).toBe('bfloat16');
      expect(crossEntropy(y, zeros([4], { dtype: 'int64' })).dtype).toBe('float32');
      autocast({ dtype: 'float16' }, () => expect(x.matmul(w.transpose(0, 1)).dtype).toBe('float16'));
      expect(linear(x, w).dtype).toBe('bfloat16');
      y.sum().backward();
    });
    expect(linear(x, w).dtype).toBe('float32');
    expect([w.grad?.dtype, w.grad?.toArray().toString()]).toEqual(['float32', Array(24).fill(4).join()]);
    expect(() =>
      autocast({ dtype: 'bfloat16' }, () => {
        throw new Error('mine');
      }),
    ).toThrow('mine');
    expect(linear(x, w).dtype).toBe('float32');
  });

  test('autocast takes a changed weight anew in the next run', () => {
    const w = ones([1, 2]).requiresGrad_();
    const run = (): number => autocast({ dtype: 'bfloat16' }, () => linear(ones([1, 2]), w).item());
    expect(run()).toBe(2);
    noGrad(() => w.mul_(3));
    expect(run()).toBe(6);
  });
});

test('detach, requiresGrad_ and isLeaf', () => {
  const x = leaf(1);
  const y = x.mul(2);
  expect([x.isLeaf, y.isLeaf, y.detach().isLeaf, y.detach().requiresGrad]).toEqual([true, false, true, false]);
  expect(x.requiresGrad_(false).mul(2).requiresGrad).toBe(false);
  expect(() => y.requiresGrad_(false)).toThrow(expect.objectContaining({ code: 'ERR_OPERATOR' }));
  expect(arange(0, 3).requiresGrad).toBe(false);
});

test('a gradient that is set must be as its tensor is', () => {
  const weight = zeros([3]).requiresGrad_();
  for (const wrong of [ones([2]), ones([1]), ones([3, 1]), ones([3], { dtype: 'float64' }), ones([3], { device: 'meta' })]) {
    expect(() => Object.assign(weight, { grad: wrong })).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT', argument: 'grad', expected: 'a tensor float32 [3] on cpu' }),
    );
  }
  weight.grad = ones([3]);
  expect(weight.grad?.toArray()).toEqual([1, 1, 1]);
  weight.grad = null;
  expect(weight.grad).toBeNull();
});
