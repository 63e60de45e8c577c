import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Batch } from '../data/index.ts';
import { aFunction, checkArgument, having } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { autocast, type Device, inferenceMode, scope } from '../tensor/index.ts';
import type { Objective, Precision, TrainingEvaluation } from '../train/index.ts';
import type { CaptionedBatch } from './captioned-batch.ts';

/** Options of {@link lossEvaluation}. */
export interface LossEvaluationOptions {
  /** Steps from one evaluation to the next. */
  readonly every: number;
  /** Opens the validation set, anew for every evaluation. */
  readonly gallery: () => AsyncIterable<Batch>;
  /** Where the model works. */
  readonly device: Device;
  /** Of the products, as in training. */
  readonly precision: Precision;
  /** The loss by which the best checkpoint is chosen. */
  readonly best: string;
}

/**
 * An objective's losses and statistics on pictures that are not trained on, each with the first of its captions: the `evaluation` of a trainer.
 * Losses are means over all items that they count, statistics means over batches by their size. The least `best` chooses the best checkpoint. It throws
 * ArgumentError where the gallery has no pictures.
 *
 * @param objective makes the objective anew for every evaluation
 */
export function lossEvaluation<P>(
  objective: () => Objective<CaptionedBatch, P>,
  options: LossEvaluationOptions,
): TrainingEvaluation {
  checkArgument('objective', objective, aFunction);
  checkArgument('options', options, having('every', 'gallery', 'device', 'precision'));
  const { every, gallery, device, precision, best } = options;
  const cast = <T>(body: () => T): T => (precision === 'float32' ? body() : autocast({ device, dtype: precision }, body));
  const measured = (own: Objective<CaptionedBatch, P>, batch: Batch): [string, number, number][] =>
    inferenceMode(() =>
      scope(() => {
        const prepared = own.prepare(batch);
        const { losses, statistics = {} } = cast(() => own.losses(prepared, {}));
        const counts = own.counts(batch);
        const entries = [...Object.entries(losses), ...Object.entries(statistics)];
        return entries.map(([name, value]) => [name, value.item(), counts[name] ?? own.size(batch)]);
      }),
    );
  return {
    every,
    async run(_, signal) {
      const own = objective();
      const sums = new Map<string, { sum: number; count: number }>();
      for await (using batch of gallery()) {
        signal.throwIfAborted();
        for (const [name, value, count] of measured(own, batch)) {
          const before = sums.get(name) ?? { sum: 0, count: 0 };
          sums.set(name, { sum: before.sum + value * count, count: before.count + count });
        }
        await nextTurn();
      }
      if (sums.size === 0) throw new ArgumentError('gallery', 'at least one picture that can be used', 'none');
      return Object.fromEntries([...sums].map(([name, { sum, count }]) => [name, sum / count]));
    },
    best: { metric: best, better: 'lower' },
  };
}
