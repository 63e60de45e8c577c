import { ClipVisionModel, VisionModel } from '../models/index.ts';
import { checkArgument, having } from '../native/arguments.ts';
import type { Json } from '../native/files.ts';
import { building, type Module } from '../nn/index.ts';
import { AdamW, decayGroups, warmupCosine } from '../optim/index.ts';
import { type Generator, manualSeed } from '../tensor/index.ts';
import {
  type FeatureTower,
  type FrozenEncoder,
  type Objective,
  type OpenData,
  Trainer,
  type TrainerOptions,
} from '../train/index.ts';
import type { CaptionedBatch, CaptionTokenizer } from './captioned-batch.ts';
import type { TrainingRecipe } from './training-recipe.ts';

/** What a run of either stage needs beside its recipe and its models. */
export interface RecipeRunOptions
  extends Pick<
    TrainerOptions<CaptionedBatch>,
    'directory' | 'resume' | 'evaluation' | 'checkpoints' | 'logs' | 'logEvery' | 'signal' | 'signals'
  > {
  /** Null where the data comes with features. */
  encoder: FrozenEncoder | null;
  /** Of captions: BERT's in the first stage, the language model's in the second. */
  tokenizer: CaptionTokenizer;
  /** Batches of {@link recipeBatchSize} pairs. */
  data: OpenData<CaptionedBatch>;
}

/** A recipe's vision tower without weights (on the meta device): load some into it. */
export function recipeTower(recipe: TrainingRecipe): FeatureTower {
  checkArgument('recipe', recipe, having('vision'));
  const { vision } = recipe;
  return building({ device: 'meta' }, () =>
    vision.architecture === 'eva' ? new VisionModel(vision.config) : new ClipVisionModel(vision.config),
  );
}

/** Pairs that the data must give at a time. */
export function recipeBatchSize(recipe: TrainingRecipe): number {
  checkArgument('recipe', recipe, having('batchSize', 'accumulation'));
  return recipe.batchSize / recipe.accumulation;
}

/** A trainer of what a recipe says for either stage. It seeds the generator behind dropout, which belongs to the process. */
export function recipeTrainer<P>(
  recipe: TrainingRecipe,
  parts: { model: Module; objective: Objective<CaptionedBatch, P>; generators: Readonly<Record<string, Generator>> },
  { encoder: _, tokenizer: __, ...run }: RecipeRunOptions,
): Trainer<CaptionedBatch, P> {
  const { model } = parts;
  const device = model.parameters()[0]?.device ?? 'cpu';
  manualSeed(recipe.seed, 'cpu');
  if (device !== 'cpu') manualSeed(recipe.seed, device);
  const { betas, eps, weightDecay, decay } = recipe.optimizer;
  const { schedule, steps, accumulation, precision, clipNorm } = recipe;
  return new Trainer({
    ...run,
    ...parts,
    optimizer: new AdamW(decayGroups(model.namedParameters(), { weightDecay, decay }), { lr: schedule.peak, betas, eps }),
    schedule: warmupCosine({ ...schedule, totalSteps: steps }),
    steps,
    recipe: recipe as unknown as Json,
    accumulation,
    precision,
    clipNorm,
  });
}
