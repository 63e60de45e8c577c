import { anObject, checkArgument } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { shown } from '../native/fields.ts';

/** A linear rise followed by half a cosine down. */
export interface WarmupCosine {
  /** Highest learning rate, reached after the warm-up. */
  peak: number;
  /** Learning rate of the last step; 0 unless told. */
  floor?: number;
  /** Learning rate of step 0; 0 unless told. */
  start?: number;
  /** Steps of the rise. */
  warmupSteps: number;
  /** All steps, the rise included. */
  totalSteps: number;
}

/**
 * The learning rate of a step (from 0): start + (peak − start)·step/warmup during the warm-up, then
 * floor + (peak − floor)·½(1 + cos(π·progress)), with progress from 0 to 1 over the remaining steps.
 */
export function warmupCosine(schedule: WarmupCosine): (step: number) => number {
  checkArgument('schedule', schedule, anObject);
  const { peak, floor = 0, start = 0, warmupSteps, totalSteps } = schedule;
  for (const [name, rate] of Object.entries({ peak, floor, start })) {
    if (!Number.isFinite(rate)) throw new ArgumentError(name, 'a finite number', shown(rate));
  }
  if (!Number.isInteger(warmupSteps) || warmupSteps < 0) {
    throw new ArgumentError('warmupSteps', 'an integer of at least 0', String(warmupSteps));
  }
  if (!Number.isInteger(totalSteps) || totalSteps < Math.max(1, warmupSteps)) {
    throw new ArgumentError('totalSteps', 'an integer of at least 1 and warmupSteps', String(totalSteps));
  }
  return (step) => {
    if (step < warmupSteps) return start + ((peak - start) * step) / warmupSteps;
    const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
    return floor + (peak - floor) * 0.5 * (1 + Math.cos(Math.PI * progress));
  };
}
