import type { Tensor } from '../tensor/index.ts';

/** What {@link generate} gives. R = B · numReturnSequences rows, those of one prompt next to each other. */
export interface Generated {
  /** `[R, L]` int64: prompt, then tokens, then padding up to the longest row. */
  readonly sequences: Tensor;
  /** `[R]` float32: (Σ log p) / nˡ of each row under beam search, best first; otherwise null. */
  readonly sequencesScores: Tensor | null;
}

/** A token that decoding settled on. */
export interface DecidedToken {
  /** Row of `sequences`. */
  readonly row: number;
  /** Its id. */
  readonly token: number;
}

/** One way of choosing tokens: it takes the logits of a step and says what the next step goes on from. */
export interface Decoder {
  /** `[B, W]`, the tokens chosen last; the decoder's own, overwritten by every step. */
  readonly tokens: Tensor;
  /** `[B, W]`, which continuations they go on from, or null: each from itself. */
  readonly parents: Tensor | null;
  /** Chooses the next tokens by the logits `[B, W, V]`; false where none are to follow. */
  advance(logits: Tensor): boolean;
  /** The tokens that the last step decided for good, of rows that had not ended before. */
  decided(): DecidedToken[];
  /** The result, in tensors that are the caller's. */
  finish(): Generated;
  /** Frees the decoder's state. */
  dispose(): void;
}
