import { building, Linear, tensor } from '../../src/index.ts';

test('linear is x·Wᵀ + b', () => {
  const layer = new Linear(2, 1);
  layer.loadStateDict(
    new Map([
      ['weight', tensor([[2, 3]])],
      ['bias', tensor([1])],
    ]),
  );
  expect(layer.forward(tensor([[10, 100]])).toArray()).toEqual([[321]]);
});

test('a module built on the meta device has shapes without memory', () => {
  const layer = building({ device: 'meta' }, () => new Linear(1_000_000, 1_000_000));
  expect(layer.parameterCount()).toBe(1_000_000_000_000 + 1_000_000);
});
