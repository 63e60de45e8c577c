import type { Tensor } from '../tensor/index.ts';

// What changes the scores of the next token, in the order in which Hugging Face applies it. Greedy decoding and sampling hand in raw logits,
// beam search log-probabilities; neither is normalised again afterwards.
// Letters: B prompts, W continuations of each, V vocabulary, L ids so far. Scores are `[B, W, V]` float32, ids `[B, W, L]` int64.

const NEVER = Number.NEGATIVE_INFINITY;

/** Makes what a sequence has already less likely: s < 0 ? s·penalty : s/penalty. */
export function repetitionPenalty(scores: Tensor, ids: Tensor, penalty: number): Tensor {
  const seen = scores.gather(2, ids);
  return scores.scatter(2, ids, seen.mul(penalty).where(seen.lt(0), seen.div(penalty)));
}

/** Rules out every token that would complete a run of `size` tokens which the sequence has already. */
export function noRepeatNgram(scores: Tensor, ids: Tensor, size: number): Tensor {
  const length = ids.size(2);
  if (length < size) return scores;
  const windows = ids.unfold(2, size);
  const begun = windows
    .narrow(3, 0, size - 1)
    .eq(ids.narrow(2, length + 1 - size, size - 1).unsqueeze(2))
    .all(3);
  // One token may end several windows, so their verdicts are folded: −∞ wins over the scores, +∞ loses.
  const verdicts = begun.where(begun, 0).float().sub(0.5).mul(NEVER);
  return scores.scatterReduce(2, windows.select(3, size - 1), verdicts, 'amin');
}

/** Rules out some tokens; below the minimum length, those that end a sequence. */
export function suppress(scores: Tensor, tokens: Tensor): Tensor {
  return scores.indexFill(2, tokens, NEVER);
}

export function temperature(scores: Tensor, value: number): Tensor {
  return scores.div(value);
}

/** Keeps the k highest scores, and what equals the lowest of them. */
export function topK(scores: Tensor, k: number): Tensor {
  const kept = Math.min(k, scores.size(2));
  return scores.maskedFill(scores.lt(scores.topk(kept).values.narrow(2, kept - 1, 1)), NEVER);
}

/** Keeps the fewest highest scores whose probabilities sum up to p or more, and `atLeast` in any case. */
export function topP(scores: Tensor, p: number, atLeast: number): Tensor {
  const { values, indices } = scores.sort();
  const dropped = values
    .softmax(2)
    .cumsum(2)
    .le(1 - p);
  const kept = Math.min(atLeast, scores.size(2));
  dropped.narrow(2, scores.size(2) - kept, kept).fill_(0);
  return scores.maskedFill(dropped.scatter(2, indices, dropped), NEVER);
}
