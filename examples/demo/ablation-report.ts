import { heldOutKinds, type Kind } from '../emoji/dataset.ts';
import type { Curve, Report, Section } from '../report/section.ts';
import { type AblationRun, type Variant, variantsOf } from './ablation-variants.ts';
import type { Ablation, DemoOptions } from './options.ts';

const WORDS: Readonly<Record<Ablation, { title: string; note: string }>> = {
  'no-stage-1': {
    title: 'Both stages, or the second one alone',
    note: 'The paper (figure 5) finds that without the first stage zero-shot answers are far worse, and get worse with training where the language model is OPT.',
  },
  'no-itg': {
    title: 'The first stage with and without image-grounded text generation',
    note: 'The paper (table 6) finds that ITG improves retrieval.',
  },
};
const TOY =
  'This is a toy: a tower that learned to tell these very concepts apart, captions of one form that say four facts, a language model of 140 words, three seeds. It shows that the parts work together, and what these numbers say. It does not show what the paper measured: whether millions of pictures, free text and a large language model need the first stage, or ITG.';

/** What an ablation has shown: tables over the seeds, and curves as in the paper's figure. */
export function ablationReport(runs: readonly AblationRun[], options: DemoOptions & { ablation: Ablation }): Report {
  const { ablation, seeds, steps, stage2Steps, pictures } = options;
  const variants = variantsOf[ablation];
  const { title, note } = WORDS[ablation];
  return {
    title,
    summary: `${seeds} seeds; ${steps} steps of the first stage, ${stage2Steps} of the second; ${pictures} held-out scenes of each kind. ${note} ${TOY}`,
    sections: [
      saidTable(variants, runs),
      verdicts(variants, runs),
      ...saidCurves(variants, runs),
      ...(ablation === 'no-itg' ? [foundTable(variants, runs), ...lossCurves(variants, runs)] : []),
    ],
  };
}

const measures = [
  ['exact captions', 'exactCaptions'],
  ['right answers', 'rightAnswers'],
] as const;

function saidTable(variants: readonly Variant[], runs: readonly AblationRun[]): Section {
  const rows = perKind(variants, (variant, at) => {
    const last = runsOf(runs, variant).flatMap(({ looks }) => looks.at(-1)?.told[at] ?? []);
    return measures.map(([, measure]) => spread(last.map((told) => told[measure])));
  });
  return { ...MEANS, title: 'After the second stage, in percent', head: ['', ...measures.map(([name]) => name)], rows };
}

/** Which differences are larger than those between seeds. */
function verdicts(variants: readonly Variant[], runs: readonly AblationRun[]): Section {
  const [whole, other] = variants as readonly [Variant, Variant];
  const lines = heldOutKinds.flatMap((kind, at) =>
    measures.map(([name, measure]) => {
      const last = (variant: Variant): number[] =>
        runsOf(runs, variant).map(({ looks }) => looks.at(-1)?.told[at]?.[measure] ?? Number.NaN);
      const [mine, theirs] = [last(whole), last(other)];
      const higher = Math.min(...mine) > Math.max(...theirs) ? whole : Math.min(...theirs) > Math.max(...mine) ? other : null;
      const said =
        higher === null ? 'the ranges over seeds overlap: no difference is shown' : `higher in every run with ${higher.name}`;
      return `${name}, ${kind}: ${said}.`;
    }),
  );
  return { kind: 'text', title: 'What these runs show', note: lines.join(' ') };
}

function foundTable(variants: readonly Variant[], runs: readonly AblationRun[]): Section {
  const rows = perKind(variants, (variant, at) => {
    const recalls = runsOf(runs, variant).flatMap(({ recalls }) => [recalls[at] ?? []]);
    return [0, 1, 2, 3].map((column) => spread(recalls.map((row) => row[column] ?? Number.NaN)));
  });
  const head = ['', 'picture to text', 'text to picture', 're-ranked: picture to text', 'text to picture'];
  return { ...MEANS, title: 'R@1 of the first stage, in percent', head, rows };
}

const MEANS = { kind: 'table', note: 'The mean over seeds, and the least and greatest.' } as const;

function perKind(variants: readonly Variant[], cells: (variant: Variant, at: number) => string[]): string[][] {
  const rows = heldOutKinds.flatMap((kind, at) => variants.map((variant) => [`${kind}, ${variant.name}`, ...cells(variant, at)]));
  for (const row of rows) console.log(row.join('  '));
  return rows;
}

/** Captions and answers over the steps of the second stage: means over the seeds. */
function saidCurves(variants: readonly Variant[], runs: readonly AblationRun[]): Section[] {
  return heldOutKinds.flatMap((kind: Kind, at) =>
    measures.map(
      ([name, measure]): Section => ({
        kind: 'curves',
        title: `${name}, ${kind}`,
        xName: 'step of the second stage',
        yName: 'percent',
        curves: variants.map(({ name: variant }, i): Curve => {
          const all = runsOf(runs, variants[i] as Variant).map(({ looks }) => looks);
          const points = (all[0] ?? []).map(({ step }, j) => {
            return [step, mean(all.map((looks) => looks[j]?.told[at]?.[measure] ?? Number.NaN))] as const;
          });
          return { name: variant, points };
        }),
      }),
    ),
  );
}

/** The losses that both first stages have: means over the seeds, on training pairs. */
function lossCurves(variants: readonly Variant[], runs: readonly AblationRun[]): Section[] {
  return (['itc', 'itm'] as const).map((loss) => ({
    kind: 'curves',
    title: `${loss.toUpperCase()} loss of the first stage`,
    xName: 'step',
    yName: 'loss',
    curves: variants.map((variant): Curve => {
      const all = runsOf(runs, variant).map(({ curve }) => curve);
      const points = (all[0] ?? []).map(({ step }, i) => {
        return [step, mean(all.map((curve) => curve[i]?.[loss] ?? Number.NaN))] as const;
      });
      return { name: variant.name, points };
    }),
  }));
}

function runsOf(runs: readonly AblationRun[], variant: Variant): readonly AblationRun[] {
  return runs.filter((run) => run.variant === variant.name);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function spread(values: readonly number[]): string {
  return `${mean(values).toFixed(1)} (${Math.min(...values).toFixed(1)}–${Math.max(...values).toFixed(1)})`;
}
