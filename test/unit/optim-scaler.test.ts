import { AdamW, fromTypedArray, LossScaler, memory, Parameter, scope, type Tensor, tensor } from '../../src/index.ts';

const values = (x: Tensor): number[] => x.toArray() as number[];

/** A parameter with a gradient. */
function parameter(gradient: number[]): Parameter {
  const made = new Parameter(tensor([1, 2, 3]));
  scope(() => made.mul(tensor(gradient)).sum().backward());
  return made;
}

test('the scale is on the loss and comes off the gradients', () => {
  const scaler = new LossScaler('cpu', { scale: 1024 });
  const x = new Parameter(tensor([1, 2, 3]));
  scope(() => {
    const loss = x.mul(tensor([0.5, -1, 2])).sum();
    expect(scaler.scaled(loss).item()).toBe(1024 * loss.item());
    scaler.scaled(loss).backward();
    expect(values(x.grad as Tensor)).toEqual([512, -1024, 2048]);
    expect(values(scaler.unscale([x]))).toEqual([0]);
    expect(values(x.grad as Tensor)).toEqual([0.5, -1, 2]);
  });
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('%p in any gradient is found', (bad) => {
  const scaler = new LossScaler('cpu');
  scope(() => expect(values(scaler.unscale([parameter([1, 1, 1]), parameter([1, bad, 1])]))).toEqual([1]));
});

test('an overflow halves the scale, and steps without one double it', () => {
  const scaler = new LossScaler('cpu', { scale: 8, interval: 3 });
  const [fine, overflow] = [tensor([0]), tensor([1])];
  const scales: number[] = [];
  for (const found of [fine, fine, fine, overflow, fine, fine, overflow, fine, fine, fine]) {
    scaler.update(found);
    scales.push(scaler.state().scale);
  }
  expect(scales).toEqual([8, 8, 16, 8, 8, 8, 4, 4, 4, 8]);
  scaler.restore({ scale: 32, tracker: 2 });
  scaler.update(fine);
  expect(scaler.state()).toEqual({ scale: 64, tracker: 0 });
  expect(() => new LossScaler('cpu', { backoff: 1 })).toThrow('expected a number between 0 and 1 for backoff but received 1');
});

test('a skipped step moves nothing and does not count', () => {
  const skip = (value: number): { skip: Tensor } => ({ skip: tensor([value]) });
  const [a, b] = [new Parameter(tensor([1, 2, 3])), new Parameter(tensor([1, 2, 3]))];
  const [skipping, plain] = [new AdamW([a], { lr: 0.1 }), new AdamW([b], { lr: 0.1 })];
  const gradients = [
    [1, -2, 0.5],
    [0.1, 3, -1],
    [2, 2, 2],
  ];
  const set = (x: Parameter, gradient: readonly number[]): void => {
    x.grad = fromTypedArray(Float32Array.from(gradient));
  };
  for (const gradient of gradients) {
    const before = values(a);
    set(a, [Number.NaN, 1, 1]);
    skipping.step(skip(1));
    expect(values(a)).toEqual(before);
    set(a, gradient);
    skipping.step(skip(0));
    set(b, gradient);
    plain.step();
    expect(values(a)).toEqual(values(b));
  }
  const [ours, theirs] = [skipping.stateDict(), plain.stateDict()];
  expect(ours.steps).toEqual([3]);
  for (const [name, moment] of theirs.tensors) expect(values(ours.tensors.get(name) as Tensor)).toEqual(values(moment));
  // The counts stay right after they were read.
  set(a, [1, 1, 1]);
  skipping.step(skip(0));
  set(b, [1, 1, 1]);
  plain.step();
  expect(values(a)).toEqual(values(b));
  expect(skipping.stateDict().steps).toEqual([4]);
  skipping.dispose();
});

test('nothing is left', () => {
  const before = memory().tensors;
  const scaler = new LossScaler('cpu');
  scaler.dispose();
  expect(memory().tensors).toBe(before);
});
