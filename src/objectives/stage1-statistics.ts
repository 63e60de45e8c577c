// B pairs of this process, G of all, N tokens, V vocabulary.
import type { Positives } from '../losses/index.ts';
import { noGrad, scope, type Tensor } from '../tensor/index.ts';

/** What can be read off a step beside its losses; numbers `[]` on the device, without gradients. Absent where an objective is left out. */
export interface Stage1Statistics {
  /** Mean lead of a picture's own text over its best other one, as a cosine. */
  imageToTextMargin?: Tensor;
  /** Mean lead of a text's own picture. */
  textToImageMargin?: Tensor;
  /** The temperature. */
  temperature?: Tensor;
  /** Share of true pairs that the matching head knows. */
  itmMatched?: Tensor;
  /** Share of pictures with a drawn text that it refuses. */
  itmOtherText?: Tensor;
  /** Share of texts with a drawn picture that it refuses. */
  itmOtherImage?: Tensor;
  /** Pairs for which the batch holds no negative. */
  withoutNegatives?: Tensor;
  /** Share of tokens that were written as they stand in the text. */
  itgAccuracy?: Tensor;
}

/** Mean of the values that count; 0 where none does. */
function mean(values: Tensor, counts: Tensor): Tensor {
  const weights = counts.to(values.dtype);
  return values.mul(weights).sum().div(weights.sum().clamp(1));
}

/** Runs `body` without gradients and frees what it leaves behind. */
function quietly(body: () => Stage1Statistics): Stage1Statistics {
  return noGrad(() => scope(body));
}

/** @param imageToText similarities over the temperature, `[B, G]`, as `textToImage` */
export function contrastStatistics(
  imageToText: Tensor,
  textToImage: Tensor,
  positives: Positives,
  temp: Tensor,
): Stage1Statistics {
  return quietly(() => {
    const negatives = positives.mask.logicalNot();
    const found = negatives.any(1);
    const margin = (scores: Tensor): Tensor => {
      const own = scores.gather(1, positives.own.unsqueeze(1)).squeeze(1);
      const best = scores.maskedFill(positives.mask, -1e4).amax(1);
      return mean(own.sub(best), found).mul(temp);
    };
    return {
      imageToTextMargin: margin(imageToText),
      textToImageMargin: margin(textToImage),
      temperature: temp.detach().clone(),
    };
  });
}

/**
 * @param logits `[3B, 2]`: pictures with their own and a drawn text by turns, then texts with a drawn picture
 * @param labels `[3B]`
 * @param found `[B]`: whether there was a negative
 */
export function matchingStatistics(logits: Tensor, labels: Tensor, found: Tensor): Stage1Statistics {
  return quietly(() => {
    const count = found.numel;
    const right = logits.argmax(1).eq(labels).float();
    const pictures = right.narrow(0, 0, 2 * count).view(count, 2);
    return {
      itmMatched: pictures.select(1, 0).mean(),
      itmOtherText: mean(pictures.select(1, 1), found),
      itmOtherImage: mean(right.narrow(0, 2 * count, count), found),
      withoutNegatives: found.logicalNot().sum(),
    };
  });
}

/** @param logits `[N, V]`, for targets `[N]` */
export function captionStatistics(logits: Tensor, targets: Tensor): Stage1Statistics {
  return quietly(() => ({ itgAccuracy: logits.argmax(1).eq(targets).float().mean() }));
}
