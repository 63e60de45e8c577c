import type { Augmentation } from './augment.ts';

/** A run that trains the vision tower: all that decides on its numbers. */
export interface VisionTrainingRecipe {
  readonly steps: number;
  readonly batchSize: number;
  readonly schedule: { readonly peak: number; readonly floor: number; readonly warmupSteps: number };
  /** Of matrices. */
  readonly weightDecay: number;
  /** Of the products in what is trained. */
  readonly precision: 'float32' | 'bfloat16';
  /** The share of pictures that are no scenes, and how many objects those have at most. */
  readonly loose: number;
  readonly objects: number;
  readonly augmentation: Augmentation;
  readonly concepts: number;
  readonly seed: number;
  /** Keeps out what validation needs, too. */
  readonly validation: boolean;
}

export const visionRecipe: VisionTrainingRecipe = {
  steps: 56_000,
  batchSize: 64,
  schedule: { peak: 1e-3, floor: 1e-6, warmupSteps: 500 },
  weightDecay: 0.5,
  precision: 'bfloat16',
  loose: 0.5,
  objects: 4,
  augmentation: { turn: 0.3, stretch: 0.15, shear: 0.15, scale: 0.08, hue: 0.3, fade: 0.15, palette: 0.4, hide: 0.25 },
  concepts: 100,
  seed: 0,
  validation: false,
};
