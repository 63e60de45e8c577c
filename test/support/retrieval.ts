import {
  arange,
  type CrossKeyValues,
  cat,
  fromTypedArray,
  type KeyValue,
  type RetrievalModel,
  type RetrievalRankings,
  type RetrievalTokenizer,
  stack,
  type Tensor,
} from '../../src/index.ts';

/** Splits at spaces; a word is its id, 1 and 2 stand around the text. */
export const tokenizer: RetrievalTokenizer = {
  encode(texts, { maxLength }) {
    const rows = texts.map((text) => [
      1,
      ...text
        .split(' ')
        .map(Number)
        .slice(0, maxLength - 2),
      2,
    ]);
    const longest = Math.max(...rows.map((row) => row.length));
    const fill = (row: number[], value: number): number[] => [...row, ...new Array<number>(longest - row.length).fill(value)];
    return {
      inputIds: rows.map((row) => fill(row, 0)),
      attentionMask: rows.map((row) =>
        fill(
          row.map(() => 1),
          0,
        ),
      ),
    };
  },
};

/** Numbers that look random and are always the same. */
export function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * A model of small whole numbers, so that scores are exact and often equal. A picture is `[2 queries, 3 features]` and its own number; a text's
 * feature is its first three words.
 */
export class WholeNumbers implements RetrievalModel {
  readonly queryTokens = fromTypedArray(new Float32Array(1));
  /** Pairs that were matched, and the most at a time. */
  readonly asked: [picture: number, words: string][] = [];
  most = 0;

  encodeImages(images: Tensor): { imageEmbeds: Tensor; lastHiddenState: Tensor } {
    return { imageEmbeds: images.narrow(1, 0, 6).view(-1, 2, 3), lastHiddenState: images.narrow(1, 6, 1) };
  }

  imageKeyValues(features: Tensor): CrossKeyValues {
    const key = features.view(-1, 1, 1, 1);
    return [{ key, value: key.clone() }, undefined];
  }

  encodeTexts(inputIds: Tensor, attentionMask: Tensor): { textEmbeds: Tensor } {
    expect(attentionMask.shape).toEqual(inputIds.shape);
    return { textEmbeds: inputIds.narrow(1, 1, 3).sub(5).float().unsqueeze(1) };
  }

  match(...[images, inputIds, , { lengths }]: Parameters<RetrievalModel['match']>): Tensor {
    if (!('sharedPictures' in images)) throw new Error('pictures are shared');
    const pictures = cat(
      images.sharedPictures.map(({ keyValues: [layer], share }) =>
        (layer as KeyValue).key.view(-1, 1).expand(-1, share).flatten(),
      ),
    );
    expect(pictures.size(0)).toBe(inputIds.size(0));
    expect(lengths).toHaveLength(inputIds.size(0));
    expect(inputIds.size(1)).toBe(Math.max(...(lengths as number[])));
    this.most = Math.max(this.most, inputIds.size(0));
    const [numbers, words] = [pictures.data(), inputIds.narrow(1, 1, 3).contiguous().data()];
    for (const [i, number] of numbers.entries())
      this.asked.push([Number(number), [...words.subarray(3 * i, 3 * i + 3)].join(' ')]);
    const logits = WholeNumbers.logits(pictures, inputIds);
    return stack([logits.neg(), logits], 1);
  }

  static logits(pictures: Tensor, inputIds: Tensor): Tensor {
    const words = inputIds.narrow(1, 1, 3);
    return pictures
      .mul(7)
      .add(words.mul(arange(1, 4)).sum(1))
      .remainder(5)
      .sub(2)
      .float();
  }
}

/** Scores of every picture with every text, `[N][T]`. */
export interface Scores {
  readonly cosines: readonly (readonly number[])[];
  readonly logits: readonly (readonly number[])[];
}

/** What a ranking should be, from all scores at once: LAVIS's `compute_sim_matrix` with −100 for what is not among the first k. */
export function ranked(scores: Scores, k: number): { imageToText: number[][]; textToImage: number[][] } {
  const turn = (rows: readonly (readonly number[])[]): number[][] =>
    (rows[0] ?? []).map((_, j) => rows.map((row) => row[j] as number));
  const order = (values: readonly number[], ties: readonly number[]): number[] =>
    values
      .map((_, i) => i)
      .sort((a, b) => (values[b] as number) - (values[a] as number) || (ties[b] as number) - (ties[a] as number) || a - b);
  const rank = (cosines: readonly (readonly number[])[], logits: readonly (readonly number[])[]): number[][] =>
    cosines.map((row, i) => {
      if (k === 0) return order(row, row);
      const first = new Set(order(row, row).slice(0, k));
      const values = row.map((cosine, j) => (first.has(j) ? Math.fround((logits[i]?.[j] as number) + cosine) : -100));
      return order(values, row);
    });
  return { imageToText: rank(scores.cosines, scores.logits), textToImage: rank(turn(scores.cosines), turn(scores.logits)) };
}

/** Recall at k in percent, by a definition that looks at every place. */
export function recall(
  lists: readonly (readonly number[])[],
  right: (query: number, candidate: number) => boolean,
  k: number,
): number {
  const asking = lists.map((list, query) => list.some((candidate) => right(query, candidate)));
  const found = lists.filter((list, query) => list.slice(0, k).some((candidate) => right(query, candidate)));
  return (100 * found.length) / asking.filter(Boolean).length;
}

/** The candidates of every query as far as they were ranked. */
export function listsOf({ imageToText, textToImage }: RetrievalRankings): { imageToText: number[][]; textToImage: number[][] } {
  const lists = (rankings: RetrievalRankings['imageToText']): number[][] =>
    Array.from({ length: rankings.queries }, (_, query) => rankings.best(query).map(({ index }) => index));
  return { imageToText: lists(imageToText), textToImage: lists(textToImage) };
}
