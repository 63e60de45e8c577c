import type { StepRecord } from 'blip2';
import type { Section } from '../../report/section.ts';
import type { TrainedStage1 } from '../stage1.ts';

/** What was trained and what was frozen, and the losses of the first stage. */
export function stage1TrainingSections({ recipe, model, frozenParameters, curve, seconds }: TrainedStage1): Section[] {
  return [
    {
      kind: 'table',
      title: 'First stage',
      note: `${recipe.steps} steps of ${recipe.batchSize} pairs in ${Math.round(seconds)} s. The vision tower never saw a sentence, and the Q-Former starts from random weights.`,
      head: ['', 'parameters', ''],
      rows: [
        ['vision tower', millions(frozenParameters), 'frozen'],
        ['Q-Former with its queries, words and heads', millions(model.parameterCount()), 'trained'],
      ],
    },
    lossCurves('Losses of the first stage', curve),
  ];
}

/** A curve for each loss of a run. */
export function lossCurves(title: string, records: readonly StepRecord[]): Section {
  const names = [...new Set(records.flatMap(({ losses }) => Object.keys(losses)))].filter((name) => name !== 'loss');
  const curves = names.map((name) => ({
    name: name.toUpperCase(),
    points: records.map(({ step, losses }) => [step, losses[name] ?? Number.NaN] as const),
  }));
  return { kind: 'curves', title, xName: 'step', yName: 'loss', curves };
}

export function millions(count: number): string {
  return `${(count / 1e6).toFixed(2)} million`;
}
