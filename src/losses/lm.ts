// B texts, L their length, V vocabulary, N tokens.
import { checkTensors } from '../tensor/base.ts';
import { crossEntropy, scope, type Tensor } from '../tensor/index.ts';

/** Options of {@link tokenLoss} and {@link lmLoss}. */
export interface LmLossOptions {
  /** ε of the smoothed targets (1 − ε)·y + ε/V; 0.1 unless told. */
  labelSmoothing?: number;
  /** Targets of this value do not count; −100 unless told. */
  ignoreIndex?: number;
}

/**
 * Mean cross-entropy of tokens: (1 − ε)·(−log p_y) + ε/V·Σ_v(−log p_v), over the targets that count; 0 where none does.
 *
 * @param logits `[N, V]`
 * @param targets `[N]` int64
 */
export function tokenLoss(logits: Tensor, targets: Tensor, options: LmLossOptions = {}): Tensor {
  checkTensors({ logits, targets });
  return scope(() => {
    const { labelSmoothing = 0.1, ignoreIndex = -100 } = options;
    const total = crossEntropy(logits.float(), targets, { labelSmoothing, ignoreIndex, reduction: 'sum' });
    return total.div(targets.ne(ignoreIndex).sum().clamp(1));
  });
}

/**
 * The same for text whose every position predicts the next one (BLIP-2, §3.1, image-grounded text generation).
 *
 * @param logits `[B, L, V]`
 * @param labels `[B, L]`: the text itself, `ignoreIndex` at padding
 */
export function lmLoss(logits: Tensor, labels: Tensor, options: LmLossOptions = {}): Tensor {
  checkTensors({ logits, labels });
  return scope(() => {
    const steps = logits.size(1) - 1;
    return tokenLoss(logits.narrow(1, 0, steps).flatten(0, 1), labels.narrow(1, 1, steps).flatten(), options);
  });
}
