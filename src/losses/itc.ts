// B pairs of this process, G pairs of all processes, Q queries a picture, E width of the features compared.
import { checkArgument, having } from '../native/arguments.ts';
import { checkTensors } from '../tensor/base.ts';
import { checkObject } from '../tensor/check.ts';
import { arange, crossEntropy, scope, type Tensor } from '../tensor/index.ts';

/**
 * How well pictures and texts agree: max over a picture's queries of the product of features (BLIP-2, §3.1, image-text contrast), which is
 * the cosine where these have length 1. Queries `[P, Q, E]`, texts `[T, E]` → `[P, T]`; the gradient goes to the query that won.
 */
export function contrastSimilarity(queries: Tensor, texts: Tensor): Tensor {
  checkTensors({ queries, texts });
  return scope(() => {
    const [pictures, count, width] = queries.shape as readonly [number, number, number];
    const all = queries.reshape(pictures * count, width).matmul(texts.transpose(0, 1));
    return all.view(pictures, count, -1).maxWithIndices(1).values;
  });
}

/** Which of all pairs belong to each of this process's: `[B, G]` booleans. */
export interface Positives {
  /** Its own place among all, `[B]` int64. */
  readonly own: Tensor;
  /** Its own place, and wherever the same picture stands. */
  readonly mask: Tensor;
  /** Whether `mask` may name more than one place a row. */
  readonly several: boolean;
}

/**
 * The positives of `count` pairs of which the first is number `offset` of all.
 * @param ids `[B]` and `[G]`: which picture each pair is of, where several pairs may share one
 */
export function positivesOf(
  pairs: { offset: number; count: number; total: number; device: Tensor['device'] },
  ids?: { own: Tensor; all: Tensor },
): Positives {
  checkArgument('pairs', pairs, having('offset', 'count', 'total', 'device'));
  return scope(() => {
    const { offset, count, total, device } = pairs;
    const own = arange(offset, offset + count, 1, { device });
    const mask =
      ids === undefined
        ? arange(0, total, 1, { device }).eq(own.unsqueeze(1))
        : ids.own.reshape(-1, 1).eq(ids.all.reshape(1, -1));
    return { own, mask, several: ids !== undefined };
  });
}

/**
 * Image-text contrastive loss: ½·(CE(s_i2t, y) + CE(s_t2i, y)), the softmax over all pairs of the batch (BLIP-2, §3.1; ALBEF, eq. 1 and 2).
 * With label smoothing ε the targets are (1 − ε)·y + ε/G. y names the own pair, or, where pictures are shared, all of the same picture in
 * equal parts.
 *
 * @param imageToText similarities over the temperature, `[B, G]`
 * @param textToImage the same from texts to pictures, `[B, G]`
 */
export function itcLoss(
  imageToText: Tensor,
  textToImage: Tensor,
  positives: Positives,
  options: { labelSmoothing?: number } = {},
): Tensor {
  checkTensors({ imageToText, textToImage });
  checkObject(positives, 'positives');
  return scope(() => {
    const { labelSmoothing = 0.1 } = options;
    const targets = positives.several ? shares(positives.mask) : positives.own;
    const loss = (scores: Tensor): Tensor => crossEntropy(scores.float(), targets, { labelSmoothing });
    return loss(imageToText).add(loss(textToImage)).div(2);
  });
}

/** Equal parts of 1 in each row. */
function shares(mask: Tensor): Tensor {
  const counts = mask.float();
  return counts.div(counts.sum(1, true));
}
