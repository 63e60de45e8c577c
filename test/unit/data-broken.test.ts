import { BrokenCount } from '../../src/data/loader/broken.ts';
import { randomStream } from '../../src/data/random.ts';
import { BrokenSamplesError } from '../../src/index.ts';

/** Draws samples, epoch after epoch; gives how many were drawn when it stopped, or all. */
function drawn(
  order: (epoch: number) => Iterable<boolean>,
  epochs: number,
  share: number,
  length: number | undefined,
  shuffled: boolean,
): number {
  const broken = new BrokenCount(share, { length, shuffled });
  for (let epoch = 0; epoch < epochs; epoch++) {
    broken.passes = epoch + 1;
    for (const isBroken of order(epoch)) {
      broken.seen++;
      try {
        if (isBroken) broken.add({ key: 'a', problem: 'is none' });
      } catch (error) {
        expect(error).toBeInstanceOf(BrokenSamplesError);
        return broken.seen;
      }
    }
  }
  return broken.seen;
}

/** `count` of `length` samples are broken, those at the places that random numbers give. */
function atRandom(count: number, length: number): (epoch: number) => boolean[] {
  return (epoch) => {
    const random = randomStream('broken', count, epoch);
    const places = Array.from({ length }, (_, i) => [random(), i < count] as const);
    return places.sort(([a], [b]) => a - b).map(([, isBroken]) => isBroken);
  };
}
const first = (count: number, length: number) => () => Array.from({ length }, (_, i) => i < count);

test.each([true, false])('a set within the share never stops (length known: %s)', (known) => {
  const of = (length: number) => (known ? length : undefined);
  expect(drawn(atRandom(2, 100), 60, 0.01, of(100), true)).toBe(6_000); // 2 of 100, as of 1,000
  expect(drawn(atRandom(10, 100), 60, 0.01, of(100), true)).toBe(6_000);
  expect(drawn(atRandom(100, 10_000), 12, 0.01, of(10_000), true)).toBe(120_000); // the share itself
  expect(drawn(atRandom(3_000, 10_000), 3, 0.3, of(10_000), true)).toBe(30_000);
});

test('nor does one whose broken samples come first, where its order says so little', () => {
  expect(drawn(first(100, 10_000), 3, 0.01, 10_000, false)).toBe(30_000);
  expect(drawn(first(101, 10_000), 3, 0.01, 10_000, false)).toBe(101);
});

test('a set beyond it stops: at once where none is to be broken, soon where half of it is, in the end where it is little', () => {
  expect(drawn(first(1, 100), 1, 0, 100, true)).toBe(1);
  expect(drawn(first(11, 100), 2, 0.01, 100, true)).toBe(11);
  expect(drawn(atRandom(5_000, 10_000), 1, 0.01, 10_000, true)).toBeLessThan(100);
  expect(drawn(atRandom(5_000, 10_000), 1, 0.01, undefined, true)).toBeLessThan(100);
  expect(drawn(atRandom(120, 10_000), 1, 0.01, 10_000, true)).toBeLessThan(10_000);
  expect(drawn(atRandom(200, 10_000), 3, 0.01, undefined, true)).toBeLessThan(10_000);
});

test('1,000 samples without a whole one are enough, whatever is borne', () => {
  expect(drawn(first(10_000, 10_000), 1, 0.5, 10_000, false)).toBe(1_000);
  expect(drawn(first(100, 100), 99, 1, 100, true)).toBe(1_000);
});

test('a disk that is lost in a later epoch is noticed', () => {
  const lost = (epoch: number) => Array.from({ length: 5_000 }, () => epoch === 2);
  expect(drawn(lost, 9, 0.01, 5_000, true)).toBeLessThan(10_000 + 250);
});
