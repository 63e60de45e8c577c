import type { Tensor } from '../tensor/index.ts';

/**
 * What a decoder needs of a language model: a prompt that it has already embedded, and one step at a time. A prompt (row of the batch)
 * is decoded `width` times side by side, as beams or samples; all of them share the prompt's cached keys and values. It serves one
 * decode: {@link generate} calls `prefill` once, then `step`, each in a scope and in inference mode, so what outlives a step wants `keep`;
 * at the end, whatever happened, it calls `dispose`.
 *
 * Letters: B prompts, W = width, V vocabulary.
 */
export interface Decodable {
  /** Number of prompts, B. */
  readonly batch: number;
  /** Most tokens that may follow the prompt (positions end there); Infinity where nothing limits them. */
  readonly room: number;

  /**
   * Runs the prompts and makes room for `steps` (0 or more) calls of {@link step} with `width` continuations of each prompt.
   * @returns logits of the first new token, `[B, V]`
   */
  prefill(width: number, steps: number): Tensor;

  /**
   * Appends one token to every continuation.
   * @param tokens `[B, W]` int64; the caller's, good during the call only, as `parents`
   * @param parents `[B, W]` int64: which of the W continuations of the same prompt each one goes on from; null: from itself
   * @returns logits of the next token, `[B, W, V]`
   */
  step(tokens: Tensor, parents: Tensor | null): Tensor;

  /** Frees the caches. Doing it twice is harmless. */
  dispose(): void;
}

/** What can go back to its prompt, to go on from there with other tokens. */
export interface Rewindable extends Decodable {
  /** Forgets the steps. Only where every one had null for parents. */
  rewind(): void;
}
