/** Turns of the event loop in which what was given up is collected, and tensors with it. */
export async function collected(): Promise<void> {
  for (let k = 0; k < 5; k++) {
    gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/**
 * MiB that a process of equal steps gained from its second fifth to its end: the least of a few samples at either side, as the machine has
 * other work.
 * @param samples bytes, taken at equal distances
 */
export function growth(samples: readonly number[]): number {
  const late = samples.slice(Math.floor(samples.length / 5));
  const few = Math.max(3, Math.floor(late.length / 8));
  return (Math.min(...late.slice(-few)) - Math.min(...late.slice(0, few))) / 2 ** 20;
}
