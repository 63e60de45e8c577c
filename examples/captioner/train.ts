import { setImmediate as nextTurn } from 'node:timers/promises';
import { AdamW, type Blip2ForConditionalGeneration, scope, warmupCosine } from 'blip2';
import type { EmojiScenes } from '../emoji/dataset.ts';
import type { Encoder } from './encoder.ts';

export interface TrainingOptions {
  /** Steps of the schedule, and pictures a step. */
  readonly steps: number;
  readonly batchSize: number;
  /** Highest learning rate. */
  readonly rate: number;
  /** On a slow machine the schedule is shortened to end after this many seconds. */
  readonly seconds: number;
  readonly onStep?: (step: TrainingStep) => void;
}

export interface TrainingStep {
  /** Steps done, and the share of the schedule that is over, 0–1. */
  readonly step: number;
  readonly progress: number;
  readonly loss: number;
  readonly seconds: number;
}

/**
 * Trains every part of a BLIP-2 at once with the caption loss: the mean cross-entropy of each next token of the caption, given the
 * picture and the prompt.
 * @returns the last step
 */
export async function train(
  model: Blip2ForConditionalGeneration,
  data: EmojiScenes,
  encoder: Encoder,
  options: TrainingOptions,
): Promise<TrainingStep> {
  const { steps, batchSize, rate } = options;
  const parameters = model.train().parameters();
  const optimizer = new AdamW(
    [
      { parameters: parameters.filter(({ ndim }) => ndim >= 2), weightDecay: 1 },
      { parameters: parameters.filter(({ ndim }) => ndim < 2), weightDecay: 0 },
    ],
    { betas: [0.9, 0.98] },
  );
  const schedule = warmupCosine({ peak: rate, warmupSteps: Math.min(100, Math.floor(steps / 10)), totalSteps: steps });
  const start = performance.now();
  let last: TrainingStep = { step: 0, progress: 0, loss: Number.NaN, seconds: 0 };
  while (last.progress < 1) {
    for (const group of optimizer.groups) group.lr = schedule(Math.floor(last.progress * steps));
    const { pixels, captions } = data.batch('training', last.step * batchSize, batchSize);
    // Everything that a step makes is freed at its end.
    const loss = scope(() => {
      const { loss } = model.forward({ pixelValues: encoder.pictures(pixels), ...encoder.captions(captions) });
      loss?.backward();
      optimizer.step();
      optimizer.zeroGrad();
      return loss?.item() ?? Number.NaN;
    });
    const step = last.step + 1;
    const seconds = (performance.now() - start) / 1000;
    last = { step, loss, seconds, progress: Math.min(1, Math.max(step / steps, seconds / options.seconds)) };
    options.onStep?.(last);
    await nextTurn();
  }
  optimizer.dispose();
  return last;
}
