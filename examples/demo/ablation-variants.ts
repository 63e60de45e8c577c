import type { Ablation } from './options.ts';

/** A way to train: with a first stage, with one that lacks ITG, or with none. */
export interface Variant {
  readonly name: string;
  readonly stage1: 'whole' | 'without ITG' | null;
}

/** What the model said after so many steps of the second stage, of each held-out kind, in percent. */
export interface Look {
  readonly step: number;
  readonly told: readonly { readonly exactCaptions: number; readonly rightAnswers: number }[];
}

/** One training of both stages, in numbers. */
export interface AblationRun {
  readonly variant: string;
  /** Losses of the first stage, step by step; empty where there was none. */
  readonly curve: readonly { readonly step: number; readonly itc: number; readonly itm: number }[];
  /** R@1 of the first stage's model for each held-out kind, in percent: by contrast, both ways, and re-ranked, both ways. */
  readonly recalls: readonly (readonly number[])[];
  readonly looks: readonly Look[];
}

const WHOLE: Variant = { name: 'both stages', stage1: 'whole' };

/** What is compared: figure 5 and table 6 of the paper. */
export const variantsOf: Readonly<Record<Ablation, readonly Variant[]>> = {
  'no-stage-1': [WHOLE, { name: 'the second stage alone', stage1: null }],
  'no-itg': [WHOLE, { name: 'without ITG', stage1: 'without ITG' }],
};
