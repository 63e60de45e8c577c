/** A source of uniform numbers in [0, 1). */
export type Random = () => number;

/**
 * Uniform numbers with 53 bits, a stream of its own for every list of keys. The same keys always give the same numbers, so what is drawn for a
 * sample depends on the sample alone: not on what was drawn before, nor on which thread draws. There is no state to save.
 *
 * The keys are hashed to the state of sfc32 (Doty-Humphrey's "small fast counting" generator, of PractRand).
 */
export function randomStream(...keys: readonly (number | string)[]): Random {
  let [a, b, c, d] = hash128(JSON.stringify(keys));
  const bits = (): number => {
    const t = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  };
  for (let i = 0; i < 12; i++) bits();
  return () => ((bits() >>> 5) * 2 ** 26 + (bits() >>> 6)) / 2 ** 53;
}

/** The whole numbers below `length` in a random order (Fisher and Yates). */
export function permutation(length: number, random: Random): Uint32Array {
  const order = Uint32Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const value = order[i] as number;
    order[i] = order[j] as number;
    order[j] = value;
  }
  return order;
}

/** A whole number below 2⁵³ that stands for a text. */
export function hash53(text: string): number {
  const [a, b] = hash128(text);
  return (a >>> 11) * 2 ** 32 + (b >>> 0);
}

/** Four lanes of multiply and xor over the text's UTF-16 units, mixed at the end: for spreading, not for secrets. */
function hash128(text: string): [number, number, number, number] {
  let a = 0x9e3779b9;
  let b = 0x243f6a88;
  let c = 0xb7e15162;
  let d = 0xdeadbeef ^ text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = b ^ Math.imul(a ^ unit, 597399067);
    b = c ^ Math.imul(b ^ unit, 2869860233);
    c = d ^ Math.imul(c ^ unit, 951274213);
    d = a ^ Math.imul(d ^ unit, 2716044179);
  }
  a = Math.imul(c ^ (a >>> 18), 597399067);
  b = Math.imul(d ^ (b >>> 22), 2869860233);
  c = Math.imul(a ^ (c >>> 17), 951274213);
  d = Math.imul(b ^ (d >>> 19), 2716044179);
  return [a ^ b ^ c ^ d, b ^ a, c ^ a, d ^ a];
}
