import { arrayOf, checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';

/** A caption in tokens, and the captions that people wrote of the same picture. */
export interface CaptionPair {
  /** What the model wrote. */
  readonly candidate: readonly string[];
  /** At least one. */
  readonly references: readonly (readonly string[])[];
}

/** A metric of a whole corpus, and of each of its pairs. */
export interface CorpusScore {
  /** Of all together. */
  readonly corpus: number;
  /** In the order of the pairs. */
  readonly each: readonly number[];
}

/** @throws ArgumentError for no pairs, or a pair without references */
export function checkPairs(pairs: readonly CaptionPair[]): void {
  checkArgument('pairs', pairs, arrayOf(having('candidate', 'references')));
  if (pairs.length === 0) throw new ArgumentError('pairs', 'at least one caption with references', 'none');
  const bare = pairs.findIndex(({ references }) => references.length === 0);
  if (bare >= 0) throw new ArgumentError(`pairs[${bare}].references`, 'at least one', 'none');
}

/** The mean of each pair's score. */
export function meanOf(each: readonly number[]): CorpusScore {
  return { corpus: each.reduce((sum, score) => sum + score, 0) / each.length, each };
}

/** Orders of n-grams that are counted: 1 to 4. */
export const ORDERS = 4;

/** How often each n-gram occurs, by order: `[n − 1]` maps an n-gram, its tokens joined by spaces, to its count. */
export function countNgrams(tokens: readonly string[]): Map<string, number>[] {
  return Array.from({ length: ORDERS }, (_, k) => {
    const counts = new Map<string, number>();
    for (let i = 0; i + k < tokens.length; i++) {
      const ngram = tokens.slice(i, i + k + 1).join(' ');
      counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
    }
    return counts;
  });
}
