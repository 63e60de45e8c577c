import { Linear, Parameter } from '../../src/nn/index.ts';
import { keep, memory, ones, scope, Tensor, tensor, zeros } from '../../src/tensor/index.ts';

const live = (): number => memory().tensors;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What `body` leaves alive beyond what was there before. */
function left(body: () => unknown): number {
  const before = live();
  body();
  return live() - before;
}

describe('scope', () => {
  test('frees what is made in it, not what came from outside', () => {
    const outside = ones([2]);
    let inner: Tensor | undefined;
    expect(
      left(() =>
        scope(() => {
          inner = outside.add(1).mul(2);
          expect(inner.toArray()).toEqual([4, 4]);
        }),
      ),
    ).toBe(0);
    expect(inner?.isFreed).toBe(true);
    expect(() => inner?.add(1)).toThrow(expect.objectContaining({ code: 'ERR_FREED' }));
    expect(outside.isFreed).toBe(false);
  });

  test('passes on what its function returns, however it is wrapped', () => {
    const kinds: [string, () => unknown, number][] = [
      ['a tensor', () => ones([1]), 1],
      ['an array', () => [ones([1]), 3, [ones([1])]], 2],
      ['an object', () => ({ a: ones([1]), b: { c: [ones([1])], d: null } }), 2],
      [
        'a map',
        () =>
          new Map<unknown, unknown>([
            ['a', ones([1])],
            [ones([1]), 'b'],
          ]),
        2,
      ],
      ['a set', () => new Set([ones([1]), ones([1])]), 2],
      ['the same twice', () => ((x) => [x, x, { x }])(ones([1])), 1],
      [
        'an instance with fields',
        () =>
          new (class {
            readonly x = ones([1]);
          })(),
        1,
      ],
      ['a deep one', () => Array.from({ length: 1000 }).reduce<unknown>((value) => [value], ones([1])), 1],
      ['nothing', () => void ones([1]), 0],
      ['a number', () => ones([1]).item(), 0],
      ['bytes', () => ones([1000]).data(), 0],
    ];
    for (const [name, make, count] of kinds) {
      let result: unknown;
      const alive = left(() => {
        result = scope(() => {
          zeros([3]);
          return make();
        });
      });
      expect([name, alive]).toEqual([name, count]);
      scope(() => disposeIn(result, new Set()));
    }
  });

  test('passes on cyclic structures', () => {
    interface Node {
      x: Tensor;
      next?: Node;
    }
    const node = scope(() => {
      const [a, b]: [Node, Node] = [{ x: ones([1]) }, { x: zeros([1]) }];
      a.next = b;
      b.next = a;
      return a;
    });
    expect([node.x.item(), node.next?.x.item()]).toEqual([1, 0]);
    node.x.dispose();
    node.next?.x.dispose();
  });

  test('nests: what an inner scope returns belongs to the outer one', () => {
    let escaped: Tensor | undefined;
    let result: Tensor | undefined;
    expect(
      left(() => {
        result = scope(() => {
          const outer = ones([1]);
          const inner = scope(() => scope(() => outer.add(1)));
          escaped = scope(() => outer.add(5));
          expect([outer.isFreed, inner.isFreed, escaped.isFreed]).toEqual([false, false, false]);
          return inner;
        });
      }),
    ).toBe(1);
    expect([result?.item(), escaped?.isFreed]).toEqual([2, true]);
    result?.dispose();
  });

  test('an inner scope that returns an outer tensor leaves it to the outer one', () => {
    expect(
      left(() =>
        scope(() => {
          const x = ones([1]);
          expect(scope(() => [x, x.add(1)])[0]).toBe(x);
          expect(x.isFreed).toBe(false);
        }),
      ),
    ).toBe(0);
  });

  test('frees all when its function throws, at any depth', () => {
    let inner: Tensor | undefined;
    expect(
      left(() => {
        expect(() =>
          scope(() => {
            ones([1]);
            scope(() => {
              inner = ones([1]);
              throw new Error('mine');
            });
          }),
        ).toThrow('mine');
        expect(() => scope(() => ones([2]).add(ones([3])))).toThrow(expect.objectContaining({ code: 'ERR_OPERATOR' }));
      }),
    ).toBe(0);
    expect(inner?.isFreed).toBe(true);
    const after = ones([1]); // outside again: nothing frees it
    scope(() => undefined);
    expect(after.isFreed).toBe(false);
  });

  test('refuses asynchronous functions', () => {
    expect(
      left(() => expect(() => scope(async () => ones([1]))).toThrow(expect.objectContaining({ code: 'ERR_ASYNC_SCOPE' }))),
    ).toBe(0);
  });

  test('an asynchronous function that fails later does not end the process', async () => {
    const late = async (): Promise<void> => {
      await turn();
      throw new Error('late');
    };
    expect(() => scope(late)).toThrow(expect.objectContaining({ code: 'ERR_ASYNC_SCOPE' }));
    await turn();
    await turn();
  });

  test('thousands of tensors', () => {
    expect(
      left(() =>
        scope(() => {
          for (let i = 0; i < 5000; i++) ones([1]);
          expect(scope(() => Array.from({ length: 3000 }, () => ones([1]))).filter((x) => x.isFreed)).toEqual([]);
        }),
      ),
    ).toBe(0);
  });
});

describe('keep', () => {
  test('outlives every scope around it', () => {
    const kept: Tensor[] = [];
    expect(
      left(() =>
        scope(() => {
          const outer = ones([1]);
          scope(() => kept.push(keep(ones([1])), keep(outer), keep(keep(ones([1])))));
          zeros([1]);
        }),
      ),
    ).toBe(3);
    expect(kept.map((x) => x.isFreed)).toEqual([false, false, false]);
    for (const x of kept) x.dispose();
  });

  test('disposed of, returned or made outside: all harmless', () => {
    expect(
      left(() => {
        const outside = ones([1]);
        const both = scope(() => {
          keep(ones([1])).dispose();
          const gone = ones([1]);
          gone.dispose();
          keep(gone);
          keep(outside);
          return keep(ones([1]));
        });
        expect([both.isFreed, outside.isFreed]).toEqual([false, false]);
        both.dispose();
        outside.dispose();
      }),
    ).toBe(0);
  });

  test('takes constant time', () => {
    scope(() => {
      const many = Array.from({ length: 20000 }, () => ones([1]));
      const start = performance.now();
      for (const x of many) keep(x);
      expect(performance.now() - start).toBeLessThan(1000);
      for (const x of many) x.dispose();
    });
  });
});

describe('parameters', () => {
  test('belong to their module, whichever scope made or returned them', () => {
    const before = live();
    const { layer, parameter } = scope(() => ({ layer: new Linear(2, 2), parameter: new Parameter(ones([1])) }));
    scope(() => layer);
    expect(live() - before).toBe(3);
    expect([layer.weight.isFreed, parameter.isFreed, parameter.toArray()]).toEqual([false, false, [1]]);
    expect(parameter).toBeInstanceOf(Tensor);
    layer.dispose();
    parameter.dispose();
    expect(live()).toBe(before);
  });
});

describe('dispose', () => {
  test('twice is harmless, and a second object of the tensor lives on', () => {
    const x = tensor([1, 2]);
    const other = x.alias();
    x.dispose();
    x.dispose();
    expect([x.isFreed, other.toArray()]).toEqual([true, [1, 2]]);
    other.dispose();
  });

  test('a handle that is used again does not revive what was freed', () => {
    const x = ones([1]);
    const { handle } = x;
    x.dispose();
    const y = zeros([1]);
    expect(y.handle).toBe(handle);
    expect(() => x.item()).toThrow(expect.objectContaining({ code: 'ERR_FREED' }));
    x.dispose();
    expect(y.item()).toBe(0);
    y.dispose();
  });

  test('`using` frees at the end of a block', () => {
    let seen: Tensor | undefined;
    expect(
      left(() => {
        using x = ones([1]);
        seen = x;
        expect(x.isFreed).toBe(false);
      }),
    ).toBe(0);
    expect(seen?.isFreed).toBe(true);
  });
});

describe('the garbage collector’s net', () => {
  const collect = async (until: () => boolean): Promise<boolean> => {
    for (let i = 0; i < 50 && !until(); i++) {
      gc?.();
      await turn();
    }
    return until();
  };

  test('frees what nobody holds, disposed tensors’ successors excepted', async () => {
    await collect(() => false);
    const before = live();
    (() => {
      for (let i = 0; i < 1000; i++) ones([1]);
      for (let i = 0; i < 1000; i++) ones([1]).dispose();
      scope(() => keep(ones([1])));
      scope(() => ones([1]));
    })();
    // These take the slots of tensors that were disposed of but whose objects are not yet collected.
    const held = Array.from({ length: 500 }, (_, i) => tensor([i]));
    expect(await collect(() => live() === before + held.length)).toBe(true);
    expect(held.map((x) => x.item())).toEqual(held.map((_, i) => i));
    for (const x of held) x.dispose();
    expect(live()).toBe(before);
  });
});

function disposeIn(value: unknown, seen: Set<unknown>): void {
  const waiting = [value];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (typeof next !== 'object' || next === null || seen.has(next)) continue;
    seen.add(next);
    if (next instanceof Tensor) next.dispose();
    else if (next instanceof Map) waiting.push(...next.keys(), ...next.values());
    else if (next instanceof Set) waiting.push(...next);
    else waiting.push(...Object.values(next));
  }
}
