import { growth } from '../support/resident.ts';

/** Samples of a process that starts with 100 MiB. */
const samples = (mebibytes: (i: number) => number): number[] =>
  Array.from({ length: 40 }, (_, i) => (100 + mebibytes(i)) * 2 ** 20);
const noise = (i: number): number => ((i * 7919) % 13) * 0.3;

test('what is held shows, whether it comes step by step or at once', () => {
  expect(growth(samples((i) => i * 0.25))).toBeGreaterThan(4);
  expect(growth(samples((i) => i * 0.25 + noise(i)))).toBeGreaterThan(4);
  expect(growth(samples((i) => (i > 25 ? 5 : 0)))).toBe(5);
});

test('a warm-up, and noise on the way, do not', () => {
  expect(growth(samples(() => 0))).toBe(0);
  expect(growth(samples((i) => Math.min(i, 8) * 10))).toBe(0);
  expect(growth(samples((i) => (i === 20 || i === 39 ? 30 : 0)))).toBe(0);
  expect(Math.abs(growth(samples(noise)))).toBeLessThan(1);
});
