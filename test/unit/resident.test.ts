import { steadyGrowth } from '../support/resident.ts';

const MEGABYTE = 2 ** 20;
/** Samples of a process that starts with 100 MiB. */
const process = (bytes: (i: number) => number): number[] => Array.from({ length: 40 }, (_, i) => 100 * MEGABYTE + bytes(i));
const noise = (i: number): number => ((i * 7919) % 13) * 0.3 * MEGABYTE;

test('a leak shows over the noise of a machine, however small a step is', () => {
  expect(steadyGrowth(process((i) => i * 0.5 * MEGABYTE))).toBeCloseTo(14, 5);
  expect(steadyGrowth(process((i) => i * 0.5 * MEGABYTE + noise(i)))).toBeGreaterThan(10);
  expect(steadyGrowth(process((i) => i * 0.25 * MEGABYTE + noise(i)))).toBeGreaterThan(4);
});

test('jumps, a warm-up and noise are no leak', () => {
  expect(steadyGrowth(process(() => 0))).toBe(0);
  expect(steadyGrowth(process((i) => Math.min(i, 8) * 10 * MEGABYTE))).toBe(0);
  expect(steadyGrowth(process((i) => (i > 15 ? 9 * MEGABYTE : 0) + (i > 30 ? 5 * MEGABYTE : 0)))).toBe(0);
  expect(Math.abs(steadyGrowth(process(noise)))).toBeLessThan(4);
  // of a run of the second stage that held everything
  const measured =
    '274.6 275.1 278.1 278.1 278.5 278.9 278.9 278.4 278.4 278.9 280.2 280.6 280.7 279.2 279.3 279.3 280.9 279.9 279.5 280.3 ' +
    '280.5 280.5 280.6 280.6 281.0 281.2 281.4 279.8 280.7 281.5 280.6 281.1 281.7 282.0 282.0 281.4 280.1 281.1 281.1 281.5';
  expect(steadyGrowth(measured.split(' ').map((mebibytes) => Number(mebibytes) * MEGABYTE))).toBeLessThan(4);
});
