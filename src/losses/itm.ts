// B pairs of this process, G pairs of all processes.
import { crossEntropy, empty, exponential_, type Generator, noGrad, scope, type Tensor } from '../tensor/index.ts';

/**
 * Draws a hard negative for each row: column j with the probability softmax_j(s) over the columns that are no positives (BLIP-2, §3.1,
 * image-text matching; ALBEF, §3.2). Positives are never drawn.
 *
 * All rows are drawn at once, as argmax_j(s_j − log e_j) with e ~ Exp(1): what a multinomial draw of one does, but without a look at the
 * weights that waits for the device.
 *
 * @param scores similarities over the temperature, `[B, G]`
 * @param positives booleans `[B, G]`
 * @returns a column for each row, `[B]` int64; it means nothing where all of a row are positives
 */
export function drawNegatives(scores: Tensor, positives: Tensor, generator?: Generator): Tensor {
  return noGrad(() =>
    scope(() => {
      const noise = exponential_(empty(scores.shape, { device: scores.device }), 1, generator);
      const raced = scores.detach().float().sub(noise.log());
      return raced.maskedFill_(positives, Number.NEGATIVE_INFINITY).argmax(1);
    }),
  );
}

/**
 * Image-text matching loss: the mean two-way cross-entropy of pairs, class 1 for "match" (BLIP-2, §3.1).
 *
 * @param logits `[N, 2]`, where the scores of a pair's queries have been averaged
 * @param labels `[N]` int64
 * @param valid `[N]` booleans: pairs that count; all unless told. Where none does, the loss is 0.
 */
export function itmLoss(logits: Tensor, labels: Tensor, valid?: Tensor): Tensor {
  if (valid === undefined) return crossEntropy(logits.float(), labels);
  return scope(() => {
    const counts = valid.float();
    const losses = crossEntropy(logits.float(), labels, { reduction: 'none' });
    return losses.mul(counts).sum().div(counts.sum().clamp(1));
  });
}
