import { arange, cat, empty, fromTypedArray, full, keep, type Tensor, zeros } from '../tensor/index.ts';
import type { Decoder, Generated } from './decoder.ts';
import type { Settings } from './options.ts';
import { Processing, type PromptIds } from './processing.ts';
import { GumbelNoise, randomSeeds } from './random.ts';
import { sequencesOf } from './sample.ts';

// Beam search as Hugging Face's `generate` does it, sums, offsets and ties included.
// Letters: B prompts, W beams, V vocabulary, K candidates, n tokens after the prompt.

/** What Hugging Face takes for −∞: it swallows any sum of log-probabilities in float32, yet stays a number. */
const DEAD = -1e9;

/**
 * Beam search, and beam sampling, which draws the candidates instead of taking the best. In each step the K best of the W·V
 * continuations are candidates; those of them that end, among the first W, compete for the W finished places; the W best of the others
 * run on. Ids are not carried along: a step leaves one number for each running beam, parent · V + token, and a finished place points
 * to the step and number of its last token, from where the path is followed back at the end.
 */
export class BeamSearch implements Decoder {
  readonly tokens: Tensor;
  readonly parents: Tensor;
  readonly #settings: Settings;
  readonly #prompt: PromptIds;
  readonly #processing: Processing;
  readonly #noise: GumbelNoise | null;
  readonly #vocabulary: number;
  readonly #candidates: number;
  /** Running beams: sums of log-probabilities `[B, W]`, best first, and the numbers that they chose, `[steps, B, W]`. */
  readonly #sums: Tensor;
  readonly #path: Tensor;
  /** Finished places `[B, W]`: scores, best first; step · W·V + number of the last token; whether the place is taken. */
  readonly #scores: Tensor;
  readonly #last: Tensor;
  readonly #taken: Tensor;
  /** `[B, 1]`: whether nothing can improve a prompt any more; whether all its places are taken. */
  readonly #settled: Tensor;
  readonly #full: Tensor;
  /** `[K]`, the candidates that may finish: the first W. */
  readonly #eligible: Tensor;
  readonly #state: readonly Tensor[];
  #steps = 0;

  constructor(settings: Settings, prompt: PromptIds, vocabulary: number) {
    const { batch, device } = prompt;
    const width = settings.numBeams;
    const ints = { dtype: 'int64', device } as const;
    const bools = { dtype: 'bool', device } as const;
    this.#settings = settings;
    this.#prompt = prompt;
    this.#vocabulary = vocabulary;
    this.#candidates = candidates(settings);
    const seeds = settings.doSample ? (settings.seeds ?? randomSeeds(batch)) : null;
    this.#noise = seeds === null ? null : new GumbelNoise(seeds, width * vocabulary, device);
    this.tokens = empty([batch, width], ints);
    this.parents = empty([batch, width], ints);
    // All beams are the prompt at first, so all but one are dead.
    this.#sums = full([batch, width], DEAD, { device });
    this.#sums.narrow(1, 0, 1).fill_(0);
    this.#path = empty([settings.maxLength - settings.promptLength, batch, width], ints);
    this.#scores = full([batch, width], DEAD, { device });
    this.#last = full([batch, width], -1, ints);
    this.#taken = zeros([batch, width], bools);
    this.#settled = zeros([batch, 1], bools);
    this.#full = zeros([batch, 1], bools);
    this.#eligible = arange(0, this.#candidates, 1, { device }).lt(width);
    this.#processing = new Processing(settings, prompt, width, vocabulary);
    const running = [this.tokens, this.parents, this.#sums, this.#path];
    this.#state = [...running, this.#scores, this.#last, this.#taken, this.#settled, this.#full, this.#eligible].map(keep);
  }

  advance(logits: Tensor): boolean {
    const { maxLength, promptLength } = this.#settings;
    const { values, indices } = this.#choose(this.#processing.apply(logits.logSoftmax(-1, 'float32')));
    this.#steps++;
    if (promptLength + this.#steps === maxLength) {
      this.#collect(values, indices, this.#eligible.expand(values.size(0), -1));
      return false;
    }
    const ended = this.#ended(indices.remainder(this.#vocabulary));
    this.#continue(values, indices, ended);
    this.#collect(values, indices, ended.logicalAnd(this.#eligible));
    return this.#promising();
  }

  /** The K candidates: sums of log-probabilities, and numbers (parent · V + token), both `[B, K]`. */
  #choose(logProbabilities: Tensor): { values: Tensor; indices: Tensor } {
    const sums = logProbabilities.add(this.#sums.unsqueeze(2)).flatten(1);
    if (this.#noise === null) return sums.topk(this.#candidates);
    const { indices } = sums.add(this.#noise.next()).topk(this.#candidates);
    return { values: sums.gather(1, indices), indices };
  }

  #ended(tokens: Tensor): Tensor {
    const { ends } = this.#processing;
    if (ends === null) return tokens.lt(0);
    return this.#settings.eosTokenIds.length === 1 ? tokens.eq(this.#settings.eosTokenIds[0] as number) : tokens.isin(ends);
  }

  /** The W best candidates that have not ended run on. */
  #continue(sums: Tensor, numbers: Tensor, ended: Tensor): void {
    const best = sums.add(ended, DEAD).topk(this.#settings.numBeams);
    const chosen = numbers.gather(1, best.indices);
    this.#sums.copy_(best.values);
    this.#path.select(0, this.#steps - 1).copy_(chosen);
    this.parents.copy_(chosen.div(this.#vocabulary, 'floor'));
    this.tokens.copy_(chosen.remainder(this.#vocabulary));
    this.#processing.append(this.tokens, this.parents);
  }

  /** The W best of the finished places and the candidates that are now `done` are the finished places from now on. */
  #collect(sums: Tensor, numbers: Tensor, done: Tensor): void {
    const { earlyStopping, lengthPenalty, numBeams } = this.#settings;
    const scores = sums.div(this.#steps ** lengthPenalty);
    if (earlyStopping === true) scores.add_(this.#full, DEAD);
    scores.add_(this.#settled, DEAD).add_(done.logicalNot(), DEAD);
    const { values, indices } = cat([this.#scores, scores], 1).topk(numBeams);
    const last = numbers.add((this.#steps - 1) * numBeams * this.#vocabulary);
    this.#scores.copy_(values);
    this.#last.copy_(cat([this.#last, last], 1).gather(1, indices));
    this.#taken.copy_(cat([this.#taken, done], 1).gather(1, indices));
    if (earlyStopping === true) this.#full.copy_(this.#taken.all(1, true));
  }

  /** Whether a prompt is left that a running beam may still improve: the step's one wait for the device. */
  #promising(): boolean {
    const { earlyStopping, lengthPenalty, maxLength, numBeams, promptLength } = this.#settings;
    const length = earlyStopping === 'never' && lengthPenalty > 0 ? maxLength - promptLength : this.#steps;
    const hope = this.#sums.narrow(1, 0, 1).div(length ** lengthPenalty);
    const bars = this.#scores.narrow(1, numBeams - 1, 1).where(this.#taken, DEAD);
    this.#settled.logicalOr_(hope.le(bars).all(1, true));
    const over = this.#settled.all();
    return (earlyStopping === true ? over.logicalOr(this.#full.all()) : over).item() === 0;
  }

  /** Only the end shows which beams stay. */
  decided(): never[] {
    return [];
  }

  finish(): Generated {
    const { eosTokenIds, numBeams, numReturnSequences: n, padTokenId } = this.#settings;
    const { batch, device } = this.#prompt;
    const path = this.#path.data();
    const last = this.#last.data();
    const scores = this.#scores.data() as Float32Array;
    const rows: number[][] = [];
    const rowScores = new Float32Array(batch * n);
    for (let prompt = 0; prompt < batch; prompt++) {
      for (let place = 0; place < n; place++) {
        const at = prompt * numBeams + place;
        rowScores[rows.length] = scores[at] as number;
        rows.push(this.#followed(Number(last[at]), path, prompt, batch));
      }
    }
    // A pad of 0 counts as none here, as it does in Hugging Face's beam search (but not in its greedy one).
    const fill = eosTokenIds.length === 0 ? -1 : padTokenId || (eosTokenIds[0] as number);
    return {
      sequences: sequencesOf(this.#prompt, rows, n, BigInt(fill)),
      sequencesScores: fromTypedArray(rowScores, [rows.length], { device }),
    };
  }

  /** The tokens up to a finished place's last one; none for a place that was never taken. */
  #followed(last: number, path: ArrayLike<number | bigint>, prompt: number, batch: number): number[] {
    const { numBeams } = this.#settings;
    const tokens: number[] = [];
    if (last < 0) return tokens;
    let number = last % (numBeams * this.#vocabulary);
    for (let step = Math.floor(last / (numBeams * this.#vocabulary)); ; step--) {
      tokens.push(number % this.#vocabulary);
      if (step === 0) return tokens.reverse();
      const parent = Math.floor(number / this.#vocabulary);
      number = Number(path[((step - 1) * batch + prompt) * numBeams + parent]);
    }
  }

  dispose(): void {
    for (const state of this.#state) state.dispose();
    this.#noise?.dispose();
    this.#processing.dispose();
  }
}

/** K: enough that W of them do not end, whatever the rest does. */
export function candidates(settings: Settings): number {
  return Math.max(2, 1 + settings.eosTokenIds.length) * settings.numBeams;
}
