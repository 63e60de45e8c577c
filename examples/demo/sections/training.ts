import type { Section } from '../../report/section.ts';
import type { TrainedStage1 } from '../stage1.ts';

/** What was trained and what was frozen, and the losses of the first stage. */
export function stage1TrainingSections({ recipe, model, frozenParameters, curve, seconds }: TrainedStage1): Section[] {
  const names = [...new Set(curve.flatMap(({ losses }) => Object.keys(losses)))].filter((name) => name !== 'loss');
  const millions = (count: number): string => `${(count / 1e6).toFixed(2)} million`;
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
    {
      kind: 'curves',
      title: 'Losses of the first stage',
      xName: 'step',
      yName: 'loss',
      curves: names.map((name) => ({
        name: name.toUpperCase(),
        points: curve.map(({ step, losses }) => [step, losses[name] ?? Number.NaN] as const),
      })),
    },
  ];
}
