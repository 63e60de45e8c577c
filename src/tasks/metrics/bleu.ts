import { type CaptionPair, checkPairs, countNgrams } from './caption-pair.ts';

/** BLEU-1 to BLEU-4, in this order. */
export type BleuScores = readonly [bleu1: number, bleu2: number, bleu3: number, bleu4: number];

/** What {@link bleu} gives. */
export interface Bleu {
  /** Of all captions together: their counts are summed before the precisions are formed. */
  readonly corpus: BleuScores;
  /** Of each caption alone, in the order of the pairs. */
  readonly each: readonly BleuScores[];
}

/** By order n − 1: how many n-grams there are and how many of them a reference has; and the lengths that the brevity penalty compares. */
interface Counts {
  readonly possible: readonly number[];
  readonly matched: readonly number[];
  readonly length: number;
  readonly referenceLength: number;
}

// They keep the quotients finite, and are as large as in the reference implementation, because they show in the scores of short captions.
const SMALL = 1e-9;
const TINY = 1e-15;

/**
 * BLEU (Papineni et al. 2002): with pₙ the share of n-grams that a reference has, each counted at most as often as in the reference that has it
 * most, BLEU-n = BP · (p₁⋯pₙ)^(1/n), BP = exp(1 − r/c) where c < r. c is the length of the candidates and r of the references closest to them in
 * length, the shorter of two equally close. As pycocoevalcap computes it.
 *
 * @throws ArgumentError for no pairs, or a pair without references
 */
export function bleu(pairs: readonly CaptionPair[]): Bleu {
  checkPairs(pairs);
  const counts = pairs.map(countsOf);
  return { corpus: scoresOf(counts.reduce(sumOf)), each: counts.map(scoresOf) };
}

function countsOf({ candidate, references }: CaptionPair): Counts {
  const { length } = candidate;
  const limits = references.map(countNgrams);
  const counted = countNgrams(candidate);
  const matched = counted.map((ngrams, k) => {
    let sum = 0;
    for (const [ngram, count] of ngrams) sum += Math.min(count, Math.max(...limits.map((limit) => limit[k]?.get(ngram) ?? 0)));
    return sum;
  });
  const distance = (n: number): number => Math.abs(n - length);
  const lengths = references.map((reference) => reference.length).sort((a, b) => distance(a) - distance(b) || a - b);
  const possible = counted.map((_, k) => Math.max(0, length - k));
  return { possible, matched, length, referenceLength: lengths[0] as number };
}

function sumOf(a: Counts, b: Counts): Counts {
  const sum = (x: readonly number[], y: readonly number[]): number[] => x.map((value, k) => value + (y[k] as number));
  return {
    possible: sum(a.possible, b.possible),
    matched: sum(a.matched, b.matched),
    length: a.length + b.length,
    referenceLength: a.referenceLength + b.referenceLength,
  };
}

function scoresOf({ possible, matched, length, referenceLength }: Counts): BleuScores {
  const ratio = (length + TINY) / (referenceLength + SMALL);
  const brevity = ratio < 1 ? Math.exp(1 - 1 / ratio) : 1;
  let product = 1;
  const scores = possible.map((count, k) => {
    product *= ((matched[k] as number) + TINY) / (count + SMALL);
    return brevity * product ** (1 / (k + 1));
  });
  return scores as unknown as BleuScores;
}
