import { type CaptionPair, type CorpusScore, checkPairs, countNgrams, meanOf, ORDERS } from './caption-pair.ts';

/** Standard deviation, in tokens, of the penalty for another length than the reference's. */
const SIGMA = 6;

/** A caption's n-grams by their weights. */
interface Weighted {
  /** By order n − 1: tf·idf of each n-gram, and the vector's norm. */
  readonly orders: readonly { readonly weights: ReadonlyMap<string, number>; readonly norm: number }[];
  /** The caption's 2-grams, which stand for its length. */
  readonly length: number;
}

/**
 * CIDEr-D (Vedantam et al. 2015): the mean over n = 1 … 4 and over the references of
 * 10 · exp(−Δ²/2σ²) · Σ min(g(candidate), g(reference))·g(reference) / (‖g(candidate)‖·‖g(reference)‖), σ = 6, Δ the difference in length, with
 * g = count · (log N − log max(1, df)) of each n-gram; df is in how many of the N pairs a reference has it. So a caption's score depends on the
 * corpus that it is evaluated in. As pycocoevalcap computes it, where it is called CIDEr.
 *
 * @throws ArgumentError for no pairs, or a pair without references
 */
export function ciderD(pairs: readonly CaptionPair[]): CorpusScore {
  checkPairs(pairs);
  const references = pairs.map((pair) => pair.references.map(countNgrams));
  const documents = new Map<string, number>();
  for (const counts of references) {
    for (const ngram of new Set(counts.flatMap((orders) => orders.flatMap((order) => [...order.keys()])))) {
      documents.set(ngram, (documents.get(ngram) ?? 0) + 1);
    }
  }
  const all = Math.log(pairs.length);
  const weigh = (counts: readonly ReadonlyMap<string, number>[]): Weighted => weighted(counts, all, documents);
  return meanOf(
    pairs.map(({ candidate }, i) => {
      const own = weigh(countNgrams(candidate));
      const against = (references[i] as (typeof references)[number]).map((counts) => similarity(own, weigh(counts)));
      return (10 * against.reduce((sum, score) => sum + score, 0)) / against.length;
    }),
  );
}

function weighted(counts: readonly ReadonlyMap<string, number>[], all: number, documents: ReadonlyMap<string, number>): Weighted {
  const orders = counts.map((order) => {
    const weights = new Map<string, number>();
    let squares = 0;
    for (const [ngram, count] of order) {
      const weight = count * (all - Math.log(documents.get(ngram) ?? 1));
      weights.set(ngram, weight);
      squares += weight ** 2;
    }
    return { weights, norm: Math.sqrt(squares) };
  });
  return { orders, length: [...(counts[1]?.values() ?? [])].reduce((sum, count) => sum + count, 0) };
}

/** The mean over the orders of n-grams. */
function similarity(own: Weighted, reference: Weighted): number {
  let sum = 0;
  for (const [k, { weights, norm }] of own.orders.entries()) {
    const other = reference.orders[k];
    if (other === undefined || norm === 0 || other.norm === 0) continue;
    let product = 0;
    for (const [ngram, weight] of weights) {
      const its = other.weights.get(ngram) ?? 0;
      product += Math.min(weight, its) * its;
    }
    sum += product / (norm * other.norm);
  }
  const difference = own.length - reference.length;
  return (sum / ORDERS) * Math.exp(-(difference ** 2) / (2 * SIGMA ** 2));
}
