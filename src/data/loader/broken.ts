import { arrayOf, checkArgument, having } from '../../native/arguments.ts';
import { transferable } from '../../native/error-transfer.ts';
import { Blip2Error } from '../../native/errors.ts';
import type { BrokenSample } from '../datasets/sample.ts';

/** More samples cannot be used than the loader was told to bear. */
export class BrokenSamplesError extends Blip2Error {
  override readonly name: string = 'BrokenSamplesError';
  /** The last of them, a hundred at most. */
  readonly samples: readonly BrokenSample[];

  constructor(count: number, seen: number, samples: readonly BrokenSample[]) {
    checkArgument('samples', samples, arrayOf(having('key', 'problem')));
    const list = samples.map(({ key, problem }) => `\n  ${key}: ${problem.split('\n', 1)}`).join('');
    super('ERR_BROKEN_SAMPLES', `${count} of the first ${seen} samples cannot be used. The last of them:${list}`);
    this.samples = samples;
  }
}

transferable(BrokenSamplesError);

const REMEMBERED = 100;
const JUDGED_FROM = 1000; // a share of fewer samples says little

/** What is known of the samples of which some are broken. */
interface Judged {
  /** How many there are; undefined where that is not known. */
  readonly length: number | undefined;
  /** Whether they come in a random order, so that the first ones tell of the others. */
  readonly shuffled: boolean;
}

/** Counts the samples that cannot be used. A broken sample is met again in every epoch, which is not held against its data set. */
export class BrokenCount {
  readonly #share: number;
  readonly #judged: Judged;
  readonly #last: BrokenSample[] = [];
  seen = 0;
  count = 0;
  /** How often the data set has been begun, with this time. */
  passes = 1;

  /** @param share of all samples, which is borne */
  constructor(share: number, judged: Judged) {
    this.#share = share;
    this.#judged = judged;
  }

  /** The last ones, a hundred at most. */
  get last(): readonly BrokenSample[] {
    return this.#last;
  }

  /** @throws BrokenSamplesError when it is one too many */
  add(sample: BrokenSample): void {
    this.count++;
    this.#last.push(sample);
    if (this.#last.length > REMEMBERED) this.#last.shift();
    const noneIsWhole = this.count === this.seen && this.seen >= JUDGED_FROM;
    if (noneIsWhole || this.count > this.#borne()) throw new BrokenSamplesError(this.count, this.seen, [...this.#last]);
  }

  /** How many may be broken by now. */
  #borne(): number {
    const { length, shuffled } = this.#judged;
    const least = this.passes * JUDGED_FROM;
    const inAll = length === undefined ? Infinity : this.#share * Math.max(this.passes * length, least);
    if (!shuffled && length !== undefined) return inAll;
    // Of samples that come at random, as many may be broken as chance (five standard deviations) can make of the share.
    const soFar = this.#share * Math.max(this.seen, least);
    return Math.min(inAll, soFar + 5 * Math.sqrt(soFar));
  }
}
