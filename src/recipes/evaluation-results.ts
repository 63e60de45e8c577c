import path from 'node:path';
import { arrayOf, checkArgument, having } from '../native/arguments.ts';
import { ArgumentError, FileError } from '../native/errors.ts';
import { makeFolder, reasonOf, writeFileAtomically } from '../native/files.ts';
import type { TrainingEvaluation } from '../train/index.ts';

/** Writes what a model wrote after a step: `<name>-00001000.json`. @throws FileError */
export function writeResults(directory: string, name: string, step: number, results: readonly object[]): void {
  try {
    makeFolder(directory);
  } catch (error) {
    throw new FileError(directory, `cannot be made: ${reasonOf(error)}`, { cause: error });
  }
  const file = path.join(directory, `${name}-${String(step).padStart(8, '0')}.json`);
  writeFileAtomically(file, `${JSON.stringify(results, null, 1)}\n`);
}

/**
 * Several evaluations as one, one after the other: the metrics of all. The first that chooses a best checkpoint does so.
 *
 * @example combinedEvaluation([retrievalEvaluation(model, { every: 5000, … }), captionEvaluation(write, { every: 5000, … })])
 * @throws ArgumentError for none, and where they do not come at the same steps
 */
export function combinedEvaluation(evaluations: readonly TrainingEvaluation[]): TrainingEvaluation {
  checkArgument('evaluations', evaluations, arrayOf(having('every', 'run')));
  const [first] = evaluations;
  if (first === undefined) throw new ArgumentError('evaluations', 'at least one', 'none');
  const other = evaluations.find(({ every }) => every !== first.every);
  if (other !== undefined) throw new ArgumentError('evaluations', `all every ${first.every} steps`, `one every ${other.every}`);
  const choosing = evaluations.find(({ best }) => best !== undefined)?.best;
  return {
    every: first.every,
    async run(step, signal) {
      const metrics: Record<string, number> = {};
      for (const evaluation of evaluations) Object.assign(metrics, await evaluation.run(step, signal));
      return metrics;
    },
    ...(choosing === undefined ? {} : { best: choosing }),
  };
}
