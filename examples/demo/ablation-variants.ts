import type { Ablation } from './options.ts';
import type { Told } from './questions.ts';
import type { Search } from './retrieval.ts';
import type { TrainedStage1 } from './stage1.ts';

/** A way to train: with a first stage, with one that lacks ITG, or with none. */
export interface Variant {
  readonly name: string;
  readonly stage1: 'whole' | 'without ITG' | null;
}

/** What the model said after so many steps of the second stage, of each held-out kind. */
export interface Look {
  readonly step: number;
  readonly told: readonly Told[];
}

/** One training of both stages. */
export interface AblationRun {
  readonly variant: Variant;
  /** Of the first stage; empty where there was none. */
  readonly curve: TrainedStage1['curve'];
  /** What the first stage's model finds, of each held-out kind. */
  readonly searches: readonly Search[];
  readonly looks: readonly Look[];
}

const WHOLE: Variant = { name: 'both stages', stage1: 'whole' };

/** What is compared: figure 5 and table 6 of the paper. */
export const variantsOf: Readonly<Record<Ablation, readonly Variant[]>> = {
  'no-stage-1': [WHOLE, { name: 'the second stage alone', stage1: null }],
  'no-itg': [WHOLE, { name: 'without ITG', stage1: 'without ITG' }],
};
