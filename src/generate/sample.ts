import { ArgumentError } from '../native/errors.ts';
import { empty, fromTypedArray, keep, type Tensor } from '../tensor/index.ts';
import type { DecidedToken, Decoder, Generated } from './decoder.ts';
import type { Settings } from './options.ts';
import { Processing, type PromptIds } from './processing.ts';
import { draw, randomSeeds, uniforms } from './random.ts';

/** Greedy decoding (the highest score) and sampling (a draw from the softmax of the scores); each continuation goes its own way. */
export class Sampler implements Decoder {
  readonly tokens: Tensor;
  readonly parents = null;
  readonly #settings: Settings;
  readonly #prompt: PromptIds;
  readonly #vocabulary: number;
  readonly #processing: Processing;
  /** `[steps, B, n, 1]`, drawn ahead; null: greedy. */
  readonly #uniforms: Tensor | null;
  /** Tokens of every row up to its end; the rows that still run. */
  readonly #rows: number[][];
  #running: readonly number[];
  #decided: readonly number[] = [];
  #steps = 0;

  constructor(settings: Settings, prompt: PromptIds, vocabulary: number) {
    const { batch, device } = prompt;
    const n = settings.numReturnSequences;
    this.#settings = settings;
    this.#prompt = prompt;
    this.#vocabulary = vocabulary;
    const steps = settings.maxLength - settings.promptLength;
    const drawn = settings.doSample ? uniforms(settings.seeds ?? randomSeeds(batch), n, steps, device) : null;
    const tokens = empty([batch, n], { dtype: 'int64', device });
    this.#processing = new Processing(settings, prompt, n, vocabulary);
    this.#uniforms = drawn === null ? null : keep(drawn);
    this.tokens = keep(tokens);
    this.#rows = Array.from({ length: batch * n }, () => []);
    this.#running = this.#rows.map((_, row) => row);
  }

  advance(logits: Tensor): boolean {
    const scores = this.#processing.apply(logits.float());
    const chosen = this.#uniforms === null ? scores.argmax(-1) : draw(scores, this.#uniforms.select(0, this.#steps));
    this.tokens.copy_(chosen);
    this.#steps++;
    // The step's one wait for the device. Rows that have ended are carried along, and what they would go on with is not looked at.
    const tokens = chosen.data();
    const { eosTokenIds, maxLength, promptLength } = this.#settings;
    for (const row of this.#running) {
      // A distribution of NaN reaches no random number, and the search for it ends behind the vocabulary.
      if (Number(tokens[row]) >= this.#vocabulary) throw new ArgumentError('logits', 'numbers', `NaN in row ${row}`);
      this.#rows[row]?.push(Number(tokens[row]));
    }
    this.#decided = this.#running;
    this.#running = this.#running.filter((row) => !eosTokenIds.includes(Number(tokens[row])));
    if (this.#running.length === 0 || promptLength + this.#steps === maxLength) return false;
    this.#processing.append(this.tokens, null);
    return true;
  }

  decided(): DecidedToken[] {
    return this.#decided.map((row) => ({ row, token: this.#rows[row]?.[this.#steps - 1] as number }));
  }

  finish(): Generated {
    const { eosTokenIds, numReturnSequences, padTokenId } = this.#settings;
    const fill = BigInt(padTokenId ?? eosTokenIds[0] ?? 0);
    return { sequences: sequencesOf(this.#prompt, this.#rows, numReturnSequences, fill), sequencesScores: null };
  }

  dispose(): void {
    this.tokens.dispose();
    this.#uniforms?.dispose();
    this.#processing.dispose();
  }
}

/** The prompts and the tokens that follow them, filled up to the longest: `[rows, P + longest]`. */
export function sequencesOf(
  prompt: PromptIds,
  rows: readonly (readonly number[])[],
  rowsPerPrompt: number,
  fill: bigint,
): Tensor {
  const length = prompt.length + rows.reduce((longest, row) => Math.max(longest, row.length), 0);
  const ids = new BigInt64Array(rows.length * length).fill(fill);
  for (const [r, row] of rows.entries()) {
    const from = Math.floor(r / rowsPerPrompt) * prompt.length;
    ids.set(prompt.ids.subarray(from, from + prompt.length), r * length);
    ids.set(row.map(BigInt), r * length + prompt.length);
  }
  return fromTypedArray(ids, [rows.length, length], { device: prompt.device });
}
