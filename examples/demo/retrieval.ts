import { evaluateRetrieval, noGrad, type Rankings, type RetrievalRankings, type RetrievalResult } from 'blip2';
import { normalised } from '../emoji/pictures.ts';
import type { Gallery } from './scenes.ts';
import type { Stage1 } from './stage1.ts';

/** A gallery searched both ways: by the contrast alone, and with the best re-ranked by the matching head. */
export interface Search {
  readonly gallery: Gallery;
  readonly result: RetrievalResult;
}

/** How many of each query's best are re-ranked, as in the paper; all of a small gallery. */
const RERANKED = 128;

/** Searches a gallery's texts by each picture, and its pictures by each text. */
export async function search({ model, encoder, tokenizer }: Stage1, gallery: Gallery): Promise<Search> {
  const { captions, pixels } = gallery;
  using pixelValues = noGrad(() => normalised(pixels));
  const batches = [{ pixelValues, allCaptions: captions.map((caption) => [caption]) }];
  const topK = Math.min(RERANKED, captions.length);
  return { gallery, result: await evaluateRetrieval(model, batches, { tokenizer, encoder, topK }) };
}

/** The rankings that a search gives, with the words for them. */
export function rankingsOf({ result }: Search): readonly (readonly [words: string, rankings: RetrievalRankings])[] {
  const { contrast, matched } = result;
  return [['by contrast', contrast], ...(matched === null ? [] : [['re-ranked by matching', matched] as const])];
}

/** The share of queries, in percent, whose own is found first. */
export function recallAt1(rankings: Rankings): number {
  return rankings.recall([1])[0] ?? Number.NaN;
}
