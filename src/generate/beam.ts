import { ArgumentError } from '../native/errors.ts';
import { type Device, fromTypedArray, keep, scope, type Tensor, wrapTypedArray } from '../tensor/index.ts';
import type { Decoder, Generated } from './decoder.ts';
import type { Settings } from './options.ts';
import { Processing, type PromptIds } from './processing.ts';
import { GumbelNoise, randomSeeds } from './random.ts';
import { sequencesOf } from './sample.ts';

// Beam search as Hugging Face's `generate` does it, sums in float32, offsets and ties included.
// Letters: B prompts, W beams, V vocabulary, K candidates, n tokens after the prompt.

/** What Hugging Face takes for −∞: it swallows any sum of log-probabilities in float32, yet stays a number. */
const DEAD = -1e9;

/** A finished text's place: its score, the step and number of its last token, and whether there is one. */
interface Place {
  readonly score: number;
  readonly step: number;
  readonly number: number;
  readonly taken: boolean;
}

/** What a prompt's beams have come to: W places, best first, and whether nothing can improve them any more. */
interface Finished {
  places: readonly Place[];
  settled: boolean;
}

/**
 * Beam search, and beam sampling, which draws the candidates instead of taking the best. In each step the K best of the W·V
 * continuations are candidates, found on the device and read from it, which is the step's one wait; the rest is a few comparisons of
 * numbers, done here. Those candidates that end, among the first W, compete for the W finished places; the W best of the others run on.
 * Ids are not carried along: a step leaves one number for each running beam, parent · V + token, and a finished place points to
 * the step and number of its last token, from where the path is followed back at the end.
 */
export class BeamSearch implements Decoder {
  readonly #settings: Settings;
  readonly #prompt: PromptIds;
  readonly #processing: Processing;
  readonly #noise: GumbelNoise | null;
  readonly #vocabulary: number;
  readonly #candidates: number;
  readonly #finished: readonly Finished[];
  /** Of running beams, `[B, W]`: tokens, parents, and sums of log-probabilities `[B, W, 1]`, best first. */
  readonly #tokens: Mirror<BigInt64Array>;
  readonly #parents: Mirror<BigInt64Array>;
  readonly #sums: Mirror<Float32Array>;
  /** Of each step, the numbers that the running beams chose, `[B, W]`. */
  readonly #path: Float64Array[] = [];

  constructor(settings: Settings, prompt: PromptIds, vocabulary: number) {
    const { batch, device } = prompt;
    const width = settings.numBeams;
    this.#settings = settings;
    this.#prompt = prompt;
    this.#vocabulary = vocabulary;
    this.#candidates = candidates(settings);
    const seeds = settings.doSample ? (settings.seeds ?? randomSeeds(batch)) : null;
    this.#noise = seeds === null ? null : new GumbelNoise(seeds, width * vocabulary, device);
    this.#processing = new Processing(settings, prompt, width, vocabulary);
    const places = new Array<Place>(width).fill({ score: DEAD, step: -1, number: -1, taken: false });
    this.#finished = Array.from({ length: batch }, () => ({ places, settled: false }));
    this.#tokens = new Mirror(new BigInt64Array(batch * width), [batch, width], device);
    this.#parents = new Mirror(new BigInt64Array(batch * width), [batch, width], device);
    // All beams are the prompt at first, so all but one are dead.
    const sums = Float32Array.from({ length: batch * width }, (_, i) => (i % width === 0 ? 0 : DEAD));
    this.#sums = new Mirror(sums, [batch, width, 1], device);
  }

  get tokens(): Tensor {
    return this.#tokens.tensor;
  }

  get parents(): Tensor {
    return this.#parents.tensor;
  }

  advance(logits: Tensor): boolean {
    const { earlyStopping, maxLength, numBeams, promptLength } = this.#settings;
    const { values, indices } = this.#choose(this.#processing.apply(logits.logSoftmax(-1, 'float32')));
    const sums = values.data() as Float32Array;
    const numbers = Float64Array.from(indices.data() as BigInt64Array, Number);
    if (sums.some(Number.isNaN)) throw new ArgumentError('logits', 'numbers', 'NaN');
    this.#path.push(new Float64Array(this.#finished.length * numBeams));
    const atEnd = promptLength + this.#path.length === maxLength;
    for (const [b, finished] of this.#finished.entries()) {
      const of = [b * this.#candidates, (b + 1) * this.#candidates] as const;
      this.#continue(b, sums.subarray(...of), numbers.subarray(...of));
      this.#collect(finished, sums.subarray(...of), numbers.subarray(...of), atEnd);
      finished.settled ||= this.#hopeless(b, finished.places);
    }
    const over = this.#finished.every(({ settled }) => settled);
    const full = earlyStopping === true && this.#finished.every(({ places }) => places.every(({ taken }) => taken));
    if (atEnd || over || full) return false;
    for (const mirror of [this.#tokens, this.#parents, this.#sums]) mirror.push();
    this.#processing.append(this.tokens, this.parents);
    return true;
  }

  /** The K candidates: sums of log-probabilities, and numbers (parent · V + token), both `[B, K]`. */
  #choose(logProbabilities: Tensor): { values: Tensor; indices: Tensor } {
    const sums = logProbabilities.add(this.#sums.tensor).flatten(1);
    if (this.#noise === null) return sums.topk(this.#candidates);
    const { indices } = sums.add(this.#noise.next()).topk(this.#candidates);
    return { values: sums.gather(1, indices), indices };
  }

  #ends(number: number): boolean {
    return this.#settings.eosTokenIds.includes(number % this.#vocabulary);
  }

  /** Prompt b's W best candidates that have not ended run on. */
  #continue(b: number, sums: Float32Array, numbers: Float64Array): void {
    const { numBeams } = this.#settings;
    const path = this.#path.at(-1) as Float64Array;
    const running = sums.map((sum, k) => (this.#ends(numbers[k] as number) ? sum + DEAD : sum));
    for (const [w, k] of highest(running, numBeams).entries()) {
      const [at, number] = [b * numBeams + w, numbers[k] as number];
      path[at] = number;
      this.#sums.host[at] = running[k] as number;
      this.#tokens.host[at] = BigInt(number % this.#vocabulary);
      this.#parents.host[at] = BigInt(Math.floor(number / this.#vocabulary));
    }
  }

  /** The W best of the finished places and of those first W candidates that end (at the end all) are the finished places from now on. */
  #collect(finished: Finished, sums: Float32Array, numbers: Float64Array, atEnd: boolean): void {
    const { earlyStopping, lengthPenalty, numBeams } = this.#settings;
    const ended = Array.from(numbers, (number, k) => k < numBeams && (atEnd || this.#ends(number)));
    if (!ended.includes(true)) return;
    const full = earlyStopping === true && finished.places.every(({ taken }) => taken);
    const scores = sums.map((sum) => sum / Math.fround(this.#path.length ** lengthPenalty));
    for (const k of scores.keys()) {
      for (const out of [full, finished.settled, !ended[k]]) if (out) scores[k] = (scores[k] as number) + DEAD;
    }
    const step = this.#path.length - 1;
    const places = Array.from(scores, (score, k) => ({ score, step, number: numbers[k] as number, taken: ended[k] as boolean }));
    const all = [...finished.places, ...places];
    const best = highest(
      Float32Array.from(all, ({ score }) => score),
      numBeams,
    );
    finished.places = best.map((i) => all[i] as Place);
  }

  /** Whether none of prompt b's running beams may come into a finished place any more. */
  #hopeless(b: number, places: readonly Place[]): boolean {
    const { earlyStopping, lengthPenalty, maxLength, numBeams, promptLength } = this.#settings;
    const length = earlyStopping === 'never' && lengthPenalty > 0 ? maxLength - promptLength : this.#path.length;
    const hope = Math.fround((this.#sums.host[b * numBeams] as number) / Math.fround(length ** lengthPenalty));
    const worst = (places.at(-1) as Place).score;
    return places.every(({ taken }) => hope <= (taken ? worst : DEAD));
  }

  /** Only the end shows which beams stay. */
  decided(): never[] {
    return [];
  }

  finish(): Generated {
    const { eosTokenIds, numReturnSequences: n, padTokenId } = this.#settings;
    const rows: number[][] = [];
    const scores: number[] = [];
    for (const [b, { places }] of this.#finished.entries()) {
      for (const place of places.slice(0, n)) {
        rows.push(this.#followed(b, place));
        scores.push(place.score);
      }
    }
    // A pad of 0 counts as none here, as it does in Hugging Face's beam search (but not in its greedy one).
    const fill = eosTokenIds.length === 0 ? -1 : padTokenId || (eosTokenIds[0] as number);
    return {
      sequences: sequencesOf(this.#prompt, rows, n, BigInt(fill)),
      sequencesScores: fromTypedArray(Float32Array.from(scores), [rows.length], { device: this.#prompt.device }),
    };
  }

  /** The tokens up to a finished place's last one; none for a place that was never taken. */
  #followed(b: number, place: Place): number[] {
    const tokens: number[] = [];
    let { number } = place;
    for (let { step } = place; step >= 0; step--) {
      tokens.push(number % this.#vocabulary);
      const parent = Math.floor(number / this.#vocabulary);
      number = this.#path[step - 1]?.[b * this.#settings.numBeams + parent] as number;
    }
    return tokens.reverse();
  }

  dispose(): void {
    for (const mirror of [this.#tokens, this.#parents, this.#sums]) mirror.dispose();
    this.#noise?.dispose();
    this.#processing.dispose();
  }
}

/** Numbers of this side that the device sees as a tensor: on the CPU the same memory, elsewhere a copy. */
class Mirror<A extends BigInt64Array | Float32Array> {
  readonly tensor: Tensor;
  readonly #wrapped: Tensor;

  constructor(
    readonly host: A,
    shape: readonly number[],
    device: Device,
  ) {
    this.#wrapped = keep(wrapTypedArray(host, shape));
    this.tensor = keep(this.#wrapped.to({ device }));
  }

  /** Shows the device what was written to `host`. */
  push(): void {
    if (this.tensor.device !== 'cpu') this.tensor.copy_(this.#wrapped);
  }

  dispose(): void {
    this.#wrapped.dispose();
    this.tensor.dispose();
  }
}

/** Where the `count` highest numbers are, highest first. Of equal ones libtorch decides, as it does for Hugging Face. */
function highest(numbers: Float32Array, count: number): readonly number[] {
  const value = (at: number | undefined): number => numbers[at as number] as number;
  const order = Array.from(numbers.keys()).sort((a, b) => value(b) - value(a) || a - b);
  if (!order.slice(0, count).some((at, i) => value(at) === value(order[i + 1]))) return order.slice(0, count);
  return scope(() => Array.from(fromTypedArray(numbers).topk(count).indices.data(), Number));
}

/** K: enough that W of them do not end, whatever the rest does. */
export function candidates(settings: Settings): number {
  return Math.max(2, 1 + settings.eosTokenIds.length) * settings.numBeams;
}
