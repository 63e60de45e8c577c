/** Turns of the event loop in which what was given up is collected, and tensors with it. */
export async function collected(): Promise<void> {
  for (let k = 0; k < 5; k++) {
    gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const WINDOWS = 8;

/**
 * MiB by which memory grows steadily over a run of equal steps. A leak adds to every stretch of the run, while what V8, malloc and a library
 * set up for themselves comes in a few jumps, at times that differ between machines. So the samples after the first fifth are taken
 * in eight stretches, of each the least, as the machine has other work; the middle of the gains between neighbours, times their number, is
 * what a leak makes of the run, and no more than what the whole run gained.
 * @param samples bytes, taken at equal distances
 */
export function steadyGrowth(samples: readonly number[]): number {
  const late = samples.slice(Math.floor(samples.length / 5));
  const lows = Array.from({ length: WINDOWS }, (_, i) =>
    Math.min(...late.slice(Math.floor((i * late.length) / WINDOWS), Math.floor(((i + 1) * late.length) / WINDOWS))),
  );
  const gains = lows.slice(1).map((low, i) => low - (lows[i] as number));
  gains.sort((a, b) => a - b);
  const steady = (gains[(gains.length - 1) / 2] as number) * gains.length;
  return Math.min(steady, (lows.at(-1) as number) - (lows[0] as number)) / 2 ** 20;
}
