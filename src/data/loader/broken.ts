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

/** Counts the samples that cannot be used. */
export class BrokenCount {
  readonly #share: number;
  readonly #last: BrokenSample[] = [];
  seen = 0;
  count = 0;

  /** @param share of all samples, which is borne */
  constructor(share: number) {
    this.#share = share;
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
    if (this.count > this.#share * Math.max(this.seen, JUDGED_FROM))
      throw new BrokenSamplesError(this.count, this.seen, [...this.#last]);
  }
}
