import { setImmediate as nextTurn } from 'node:timers/promises';
import { anAbortSignal, anArray, anObject, arrayOf, checkArgument, having, optional } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { type Device, fromTypedArray, inferenceMode, scope, type Tensor, zeros } from '../tensor/index.ts';
import type { Rewindable } from './decodable.ts';

// B prompts, W continuations of each at a time, n tokens in the longest of these, V vocabulary.

/** Token ids of the continuations of every prompt: `[prompt][continuation][token]`. */
export type Continuations = readonly (readonly (readonly number[])[])[];

/** Options of {@link scoreContinuations}. */
export interface ScoreOptions {
  /** Continuations of each prompt that run side by side, W; logits `[B, W, V]` exist at a time. 32 unless told. */
  width?: number | undefined;
  /** Stops before the next step: the call then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/**
 * Log-likelihoods of given continuations, Σₜ log p(tokenₜ | prompt, the tokens before), `[prompt][continuation]`. The prompts are run once: all
 * continuations share their keys and values, and the logits after them serve every first token. The model is used up: its caches are freed in any
 * case.
 *
 * @param continuations of each prompt, each of at least one token
 * @throws ArgumentError that names what is wrong; the signal's reason once that is aborted
 */
export async function scoreContinuations(
  model: Rewindable,
  continuations: Continuations,
  options: ScoreOptions = {},
): Promise<number[][]> {
  checkArgument('model', model, having('batch', 'room', 'prefill', 'step', 'rewind', 'dispose'));
  checkArgument('continuations', continuations, arrayOf(arrayOf(anArray)));
  checkArgument('options', options, anObject);
  checkArgument('signal', options.signal, optional(anAbortSignal));
  try {
    const { width: most = 32, signal } = options;
    check(model, continuations, most);
    signal?.throwIfAborted();
    const width = Math.min(most, lengthOfLongest(continuations));
    const steps = lengthOfLongest(continuations.flat()) - 1;
    const first = inferenceMode(() => scope(() => prefill(model, width, steps)));
    checkIds(continuations, first.vocabulary);
    const scores = continuations.map((row, b) =>
      row.map(([id]) => first.logProbabilities[b * first.vocabulary + (id as number)] as number),
    );
    // The shortest first, so that those that run together end together.
    const order = continuations.map((row) =>
      [...row.keys()].sort((i, j) => (row[i]?.length as number) - (row[j]?.length as number)),
    );
    for (let from = 0; from < lengthOfLongest(continuations); from += width) {
      const chosen = order.map((row) => row.slice(from, from + width));
      using together = new Together(
        chosen.map((row, b) => row.map((i) => continuations[b]?.[i] as readonly number[])),
        width,
        model,
        first.device,
      );
      for (let t = 1; t < together.length; t++) {
        await nextTurn();
        signal?.throwIfAborted();
        inferenceMode(() => scope(() => together.step(t)));
      }
      const sums = together.sums();
      for (const [b, row] of chosen.entries()) {
        for (const [w, i] of row.entries()) (scores[b] as number[])[i] = (scores[b]?.[i] as number) + (sums[b]?.[w] as number);
      }
      inferenceMode(() => model.rewind());
    }
    return scores;
  } finally {
    model.dispose();
  }
}

/** What the prompts make of the first token. */
interface First {
  /** `[B, V]` */
  readonly logProbabilities: Float32Array;
  readonly vocabulary: number;
  /** The model's. */
  readonly device: Device;
}

function prefill(model: Rewindable, width: number, steps: number): First {
  const logits = model.prefill(width, steps);
  const logProbabilities = logits.logSoftmax(-1, 'float32').data() as Float32Array;
  return { logProbabilities, vocabulary: logits.size(1), device: logits.device };
}

/** W continuations of every prompt, which go one token at a time. */
class Together {
  /** n */
  readonly length: number;
  readonly #model: Rewindable;
  /** `[n, B, W]`, filled up with 0. */
  readonly #tokens: Tensor;
  /** `[n, B, W]`, whether there is a token. */
  readonly #present: Tensor;
  /** `[B, W]`, of the tokens after the first. */
  readonly #sums: Tensor;

  constructor(continuations: Continuations, width: number, model: Rewindable, device: Device) {
    const length = lengthOfLongest(continuations.flat());
    const shape = [length, model.batch, width] as const;
    const tokens = new BigInt64Array(length * model.batch * width);
    const present = new Uint8Array(tokens.length);
    for (const [b, row] of continuations.entries()) {
      for (const [w, ids] of row.entries()) {
        for (const [t, id] of ids.entries()) {
          const at = (t * model.batch + b) * width + w;
          tokens[at] = BigInt(id);
          present[at] = 1;
        }
      }
    }
    this.length = length;
    this.#model = model;
    this.#tokens = fromTypedArray(tokens, shape, { device });
    this.#present = fromTypedArray(present, shape, { device, dtype: 'bool' });
    this.#sums = zeros([model.batch, width], { device });
  }

  /** Goes on by token t − 1 and adds what is thought of token t. */
  step(t: number): void {
    const logits = this.#model.step(this.#tokens.select(0, t - 1), null).float();
    const chosen = logits.gather(-1, this.#tokens.select(0, t).unsqueeze(-1)).sub(logits.logsumexp(-1, true));
    this.#sums.add_(chosen.squeeze(-1).where(this.#present.select(0, t), 0));
  }

  sums(): number[][] {
    return this.#sums.toArray() as number[][];
  }

  [Symbol.dispose](): void {
    for (const tensor of [this.#tokens, this.#present, this.#sums]) tensor.dispose();
  }
}

const lengthOfLongest = (lists: readonly (readonly unknown[])[]): number =>
  lists.reduce((longest, list) => Math.max(longest, list.length), 0);

function check(model: Rewindable, continuations: Continuations, width: number): void {
  if (!Number.isInteger(width) || width < 1) throw new ArgumentError('width', 'an integer of at least 1', String(width));
  if (continuations.length !== model.batch) {
    throw new ArgumentError('continuations', `a list for each of the ${model.batch} prompts`, String(continuations.length));
  }
  for (const [b, row] of continuations.entries()) {
    if (row.length === 0) throw new ArgumentError(`continuations[${b}]`, 'at least one continuation', 'none');
    for (const [i, ids] of row.entries()) {
      const expected = `from 1 to ${model.room} tokens`;
      if (ids.length === 0 || ids.length > model.room)
        throw new ArgumentError(`continuations[${b}][${i}]`, expected, String(ids.length));
    }
  }
}

function checkIds(continuations: Continuations, vocabulary: number): void {
  const odd = continuations.flat(2).find((id) => !(Number.isInteger(id) && id >= 0 && id < vocabulary));
  if (odd !== undefined) throw new ArgumentError('continuations', `ids from 0 to ${vocabulary - 1}`, String(odd));
}
