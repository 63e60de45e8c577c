import { ArgumentError } from '../native/errors.ts';
import { checkTensors } from '../tensor/base.ts';
import { checkObject, kindOf } from '../tensor/check.ts';
import type { Tensor } from '../tensor/index.ts';
import type { ParameterGroup } from './adamw.ts';

/** How {@link decayGroups} divides parameters. */
export interface DecayOptions {
  /** Weight decay of the parameters that decay. */
  weightDecay: number;
  /**
   * Which do: all but vectors and what is named `….bias`, so that a single number (the temperature) decays, as in LAVIS's repository
   * (`'not-vectors'`, unless told); or all matrices and tensors of more dimensions, as in its release 1.0.2 (`'matrices'`).
   */
  decay?: 'not-vectors' | 'matrices';
}

/**
 * Groups for `AdamW`: parameters that decay and those that do not. Frozen ones are left out.
 * @throws ArgumentError where nothing is left
 */
export function decayGroups(parameters: ReadonlyMap<string, Tensor>, options: DecayOptions): ParameterGroup[] {
  if (!(parameters instanceof Map)) throw new ArgumentError('parameters', 'a Map of tensors', kindOf(parameters));
  checkObject(options);
  const { weightDecay, decay = 'not-vectors' } = options;
  if (decay !== 'not-vectors' && decay !== 'matrices') {
    throw new ArgumentError('decay', '"not-vectors" or "matrices"', kindOf(decay));
  }
  const decays = (name: string, { ndim }: Tensor): boolean =>
    !name.endsWith('.bias') && (decay === 'matrices' ? ndim >= 2 : ndim !== 1);
  const groups = [
    { parameters: [] as Tensor[], weightDecay },
    { parameters: [] as Tensor[], weightDecay: 0 },
  ] as const;
  for (const [name, parameter] of parameters) {
    checkTensors({ [name]: parameter });
    if (parameter.requiresGrad) groups[decays(name, parameter) ? 0 : 1].parameters.push(parameter);
  }
  const filled = groups.filter((group) => group.parameters.length > 0);
  if (filled.length === 0) throw new ArgumentError('parameters', 'at least one that is not frozen', 'none');
  return filled;
}
