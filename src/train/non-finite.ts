import { checkArgument, having } from '../native/arguments.ts';
import { transferable } from '../native/error-transfer.ts';
import { Blip2Error } from '../native/errors.ts';

/** Where in a step a tensor was found. */
export type FoundIn = 'batch' | 'parameter' | 'prepared batch' | 'output' | 'loss' | 'gradient';

/** A loss or a gradient turned infinite or NaN. The weights are those before the step; the last checkpoint is untouched. */
export class NonFiniteError extends Blip2Error {
  override readonly name: string = 'NonFiniteError';
  /** The step, from 1. */
  readonly step: number;
  /** The first tensor of the step that is not finite: a parameter's or module's name, a loss, or a path in the batch. */
  readonly tensor: string;
  /** Where in the step it stands; null where only the loss is known. */
  readonly foundIn: FoundIn | null;
  /** The folder of the last good checkpoint; null where there is none yet. */
  readonly checkpoint: string | null;

  constructor(step: number, found: { tensor: string; foundIn: FoundIn | null }, checkpoint: string | null) {
    checkArgument('found', found, having('tensor', 'foundIn'));
    const first = found.foundIn === null ? found.tensor : `the first is ${article(found.foundIn)} ${found.tensor}`;
    const kept = checkpoint === null ? 'There is no checkpoint yet' : `The last good checkpoint is ${checkpoint}`;
    super('ERR_NON_FINITE', `step ${step} gave numbers that are infinite or NaN: ${first}. ${kept}`);
    this.step = step;
    this.tensor = found.tensor;
    this.foundIn = found.foundIn;
    this.checkpoint = checkpoint;
  }
}

transferable(NonFiniteError);

function article(foundIn: FoundIn): string {
  if (foundIn === 'output') return 'the output of';
  return foundIn === 'batch' || foundIn === 'prepared batch' ? `the ${foundIn}'s` : `the ${foundIn}`;
}
