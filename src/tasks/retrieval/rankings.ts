import { aCount, aFunction, aNumber, arrayOf, aSize, checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { shown } from '../../native/fields.ts';
// R queries, K depth.

/** A candidate of a query. */
export interface RankedMatch {
  /** Number of the picture or text. */
  readonly index: number;
  /** By what it is ranked: the cosine, or with a matching score the sum of both. */
  readonly score: number;
  /** The greatest cosine of any of the picture's queries with the text. */
  readonly cosine: number;
  /** The matching head's logit; null for what was not matched. */
  readonly matching: number | null;
  /** Whether picture and text belong together. */
  readonly correct: boolean;
}

/** What a candidate that was not matched stands behind: LAVIS gives all of them this score. */
export const UNMATCHED = -100;

/** The best candidates of every query, best first. Of equal ones the first stands first. */
export class Rankings {
  /** How many queries there are. */
  readonly queries: number;
  /** Candidates a query. */
  readonly depth: number;
  readonly #candidates: Int32Array;
  readonly #cosines: Float32Array;
  readonly #matching: Float32Array | null;
  readonly #matched: number;
  readonly #owns: (query: number, candidate: number) => boolean;
  readonly #asks: (query: number) => boolean;

  /**
   * @internal
   * @param ranked candidates and their cosines, `[R, K]`; the first `matched` of each row with matching logits `[R, matched]`
   * @param owns whether a candidate is one that a query looks for
   * @param asks whether a query looks for any
   */
  constructor(
    ranked: { candidates: Int32Array; cosines: Float32Array; matching?: Float32Array | undefined; matched?: number | undefined },
    queries: number,
    owns: (query: number, candidate: number) => boolean,
    asks: (query: number) => boolean,
  ) {
    checkArgument('ranked', ranked, having('candidates', 'cosines'));
    checkArgument('queries', queries, aCount);
    checkArgument('owns', owns, aFunction);
    checkArgument('asks', asks, aFunction);
    this.queries = queries;
    this.depth = ranked.candidates.length / queries;
    this.#candidates = ranked.candidates;
    this.#cosines = ranked.cosines;
    this.#matching = ranked.matching ?? null;
    this.#matched = ranked.matched ?? 0;
    this.#owns = owns;
    this.#asks = asks;
  }

  /** The first candidates of a query, at most `count` (all that were ranked unless told). */
  best(query: number, count = this.depth): RankedMatch[] {
    this.#expectQuery(query);
    checkArgument('count', count, aSize);
    return Array.from({ length: Math.min(count, this.depth) }, (_, rank) => {
      const at = query * this.depth + rank;
      const index = this.#candidates[at] as number;
      const cosine = this.#cosines[at] as number;
      const matching = rank < this.#matched ? (this.#matching?.[query * this.#matched + rank] as number) : null;
      const score = this.#matching === null ? cosine : matching === null ? UNMATCHED : Math.fround(matching + cosine);
      return { index, score, cosine, matching, correct: this.#owns(query, index) };
    });
  }

  #expectQuery(query: number): void {
    if (!Number.isInteger(query) || query < 0 || query >= this.queries) {
      throw new ArgumentError('query', `an integer from 0 to ${this.queries - 1}`, shown(query));
    }
  }

  /** The rank, from 0, of the first candidate that a query looks for; Infinity where none was ranked. */
  rankOf(query: number): number {
    this.#expectQuery(query);
    for (let rank = 0; rank < this.depth; rank++) {
      if (this.#owns(query, this.#candidates[query * this.depth + rank] as number)) return rank;
    }
    return Infinity;
  }

  /** Recall at each k: how many of the queries that look for something find it among the first k, in percent. */
  recall(ks: readonly number[]): number[] {
    checkArgument('ks', ks, arrayOf(aNumber));
    const ranks = Array.from({ length: this.queries }, (_, query) => query)
      .filter(this.#asks)
      .map((query) => this.rankOf(query));
    return ks.map((k) => (100 * ranks.filter((rank) => rank < k).length) / ranks.length);
  }
}
