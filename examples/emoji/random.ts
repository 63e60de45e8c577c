/** A stream of numbers in [0, 1). */
export type Random = () => number;

/** Scrambles 32 bits, so that neighbouring inputs give unrelated outputs (the finaliser of MurmurHash3). */
function scramble(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** The stream of one item of one seed: any item can be drawn by itself, in any order (SplitMix32). */
export function randomOf(seed: number, index: number): Random {
  let state = scramble(scramble(seed + 1) ^ (index + 0x9e3779b9));
  return () => {
    state = (state + 0x9e3779b9) | 0;
    return (scramble(state) >>> 0) / 2 ** 32;
  };
}

/** A number between the two. */
export function between(random: Random, low: number, high: number): number {
  return low + (high - low) * random();
}

/** One of the items, each as likely. */
export function pick<T>(random: Random, items: readonly T[]): T {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new RangeError('nothing to pick from');
  return item;
}

/** The items in random order (Fisher and Yates). */
export function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const order = [...items];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j] as T, order[i] as T];
  }
  return order;
}
