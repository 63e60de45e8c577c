import { Blip2ForPretraining, ClipVisionModel, VisionModel } from '../models/index.ts';
import { ArgumentError } from '../native/errors.ts';
import type { Json } from '../native/files.ts';
import { building } from '../nn/index.ts';
import type { Stage1Batch } from '../objectives/index.ts';
import { AdamW, decayGroups, warmupCosine } from '../optim/index.ts';
import { type Device, Generator, manualSeed } from '../tensor/index.ts';
import { type FeatureTower, type OpenData, Trainer, type TrainerOptions } from '../train/index.ts';
import type { Stage1Recipe } from './stage1.ts';
import { type CaptionedBatch, Stage1Objective, type Stage1Parts } from './stage1-objective.ts';

/** What a run of the first stage needs beside its recipe. */
export interface Stage1RunOptions
  extends Pick<
    TrainerOptions<CaptionedBatch>,
    'directory' | 'resume' | 'evaluation' | 'checkpoints' | 'logs' | 'logEvery' | 'signal' | 'signals'
  > {
  /** Of {@link newStage1Model}, perhaps with BERT's weights in it. */
  model: Blip2ForPretraining;
  /** Null where the data comes with features. */
  encoder: Stage1Parts['encoder'];
  tokenizer: Stage1Parts['tokenizer'];
  /** Batches of {@link stage1BatchSize} pairs. */
  data: OpenData<CaptionedBatch>;
}

/** A new model of a recipe, its weights drawn from the recipe's seed. */
export function newStage1Model(recipe: Stage1Recipe, device: Device = 'cpu'): Blip2ForPretraining {
  const model = building({ generator: new Generator(recipe.seed) }, () => new Blip2ForPretraining(recipe.model));
  return device === 'cpu' ? model : model.to({ device });
}

/** The recipe's vision tower without weights (on the meta device): load some into it. */
export function stage1Tower(recipe: Stage1Recipe): FeatureTower {
  const { vision } = recipe;
  return building({ device: 'meta' }, () =>
    vision.architecture === 'eva' ? new VisionModel(vision.config) : new ClipVisionModel(vision.config),
  );
}

/** Pairs that the data must give at a time. */
export function stage1BatchSize(recipe: Stage1Recipe): number {
  return recipe.batchSize / recipe.accumulation;
}

/**
 * A trainer of a recipe's run. It seeds the generator behind dropout, which belongs to the process.
 * @throws ArgumentError where model and recipe do not fit
 */
export function stage1Trainer(recipe: Stage1Recipe, options: Stage1RunOptions): Trainer<CaptionedBatch, Stage1Batch> {
  const { model, encoder, tokenizer, data, ...run } = options;
  if (JSON.stringify(model.config) !== JSON.stringify(recipe.model)) {
    throw new ArgumentError('model', "a model of the recipe's configuration", 'one of another');
  }
  const device = model.queryTokens.device;
  manualSeed(recipe.seed, 'cpu');
  if (device !== 'cpu') manualSeed(recipe.seed, device);
  const negatives = new Generator(recipe.seed, device);
  const { betas, eps, weightDecay, decay } = recipe.optimizer;
  const { schedule, steps, accumulation, precision, clipNorm } = recipe;
  return new Trainer({
    ...run,
    model,
    objective: new Stage1Objective(recipe, { model, tokenizer, encoder, negatives }),
    data,
    optimizer: new AdamW(decayGroups(model.namedParameters(), { weightDecay, decay }), { lr: schedule.peak, betas, eps }),
    schedule: warmupCosine({ ...schedule, totalSteps: steps }),
    steps,
    recipe: recipe as unknown as Json,
    accumulation,
    precision,
    clipNorm,
    generators: { negatives },
  });
}
