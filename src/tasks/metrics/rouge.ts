import { type CaptionPair, type CorpusScore, checkPairs, meanOf } from './caption-pair.ts';

/** How much more recall weighs than precision. */
const BETA = 1.2;

/**
 * ROUGE-L (Lin 2004): with ℓ the length of the longest common subsequence of a candidate and a reference, P = max ℓ/|candidate| and
 * R = max ℓ/|reference|, each over the references, the score is (1 + β²)·P·R / (R + β²·P), β = 1.2; the corpus's is the mean. As pycocoevalcap
 * computes it.
 *
 * @throws ArgumentError for no pairs, or a pair without references
 */
export function rougeL(pairs: readonly CaptionPair[]): CorpusScore {
  checkPairs(pairs);
  return meanOf(pairs.map(scoreOf));
}

function scoreOf({ candidate, references }: CaptionPair): number {
  const own = words(candidate);
  const common = references.map((reference) => ({ length: longestCommon(own, words(reference)), of: words(reference).length }));
  const precision = Math.max(...common.map(({ length }) => length / own.length));
  const recall = Math.max(...common.map(({ length, of }) => length / of));
  return precision === 0 ? 0 : ((1 + BETA ** 2) * precision * recall) / (recall + BETA ** 2 * precision);
}

/** An empty text counts as one empty token, as splitting at spaces has it. */
const words = (tokens: readonly string[]): readonly string[] => (tokens.length === 0 ? [''] : tokens);

function longestCommon(a: readonly string[], b: readonly string[]): number {
  let above = new Uint32Array(b.length + 1);
  for (const token of a) {
    const row = new Uint32Array(b.length + 1);
    for (const [j, other] of b.entries()) {
      row[j + 1] = token === other ? (above[j] as number) + 1 : Math.max(above[j + 1] as number, row[j] as number);
    }
    above = row;
  }
  return above[b.length] as number;
}
