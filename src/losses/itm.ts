// B pairs of this process, G pairs of all processes.
import { checkTensors } from '../tensor/base.ts';
import { crossEntropy, type Generator, noGrad, rand, scope, type Tensor } from '../tensor/index.ts';

/**
 * Draws a hard negative for each row: column j with the probability softmax_j(s) over the columns that are no positives (BLIP-2, §3.1,
 * image-text matching; ALBEF, §3.2). Positives are never drawn.
 *
 * All rows are drawn at once, each by one number u from [0, 1) as the first column whose cumulated weight is above u times the row's sum.
 * Nothing is looked at on the way, as PyTorch's multinomial does, which waits for the device.
 *
 * @param scores similarities over the temperature, `[B, G]`
 * @param positives booleans `[B, G]`
 * @returns a column for each row, `[B]` int64; it means nothing where all of a row are positives
 */
export function drawNegatives(scores: Tensor, positives: Tensor, generator?: Generator): Tensor {
  checkTensors({ scores, positives });
  return noGrad(() =>
    scope(() => {
      const { device } = scores;
      const [rows, columns] = scores.shape as readonly [number, number];
      const masked = scores.detach().float().maskedFill(positives, LOWEST);
      const cumulated = masked.softmax(1).cumsum(1);
      const sum = cumulated.narrow(1, columns - 1, 1);
      const drawn = cumulated.searchsorted(rand([rows, 1], { device, ...(generator && { generator }) }).mul(sum), true);
      const index = drawn.clamp(null, columns - 1); // beyond the last stand the draws of scores that are not numbers
      // A sum in parallel rounds here so and there so: a positive, which adds 0, may seem to add something. Then the hardest negative.
      return (device === 'cpu' ? index : index.where(negative(positives, index), masked.argmax(1, true))).squeeze(1);
    }),
  );
}

/** Not −∞: a row of positives alone must not become NaN. */
const LOWEST = -3.4e38;

function negative(positives: Tensor, index: Tensor): Tensor {
  return positives.gather(1, index).logicalNot();
}

/**
 * Image-text matching loss: the mean two-way cross-entropy of pairs, class 1 for "match" (BLIP-2, §3.1).
 *
 * @param logits `[N, 2]`, where the scores of a pair's queries have been averaged
 * @param labels `[N]` int64
 * @param valid `[N]` booleans: pairs that count; all unless told. Where none does, the loss is 0.
 */
export function itmLoss(logits: Tensor, labels: Tensor, valid?: Tensor): Tensor {
  checkTensors({ logits, labels });
  if (valid === undefined) return crossEntropy(logits.float(), labels);
  return scope(() => {
    const counts = valid.float();
    const losses = crossEntropy(logits.float(), labels, { reduction: 'none' });
    return losses.mul(counts).sum().div(counts.sum().clamp(1));
  });
}
