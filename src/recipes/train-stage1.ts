import { Blip2ForPretraining } from '../models/index.ts';
import { checkArgument, having } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { building } from '../nn/index.ts';
import type { Stage1Batch } from '../objectives/index.ts';
import { type Device, Generator } from '../tensor/index.ts';
import type { FeatureTower, Trainer } from '../train/index.ts';
import type { CaptionedBatch } from './captioned-batch.ts';
import { type RecipeRunOptions, recipeBatchSize, recipeTower, recipeTrainer } from './recipe-trainer.ts';
import type { Stage1Recipe } from './stage1.ts';
import { Stage1Objective } from './stage1-objective.ts';

/** What a run of the first stage needs beside its recipe. */
export interface Stage1RunOptions extends RecipeRunOptions {
  /** Of {@link newStage1Model}, perhaps with BERT's weights in it. */
  model: Blip2ForPretraining;
}

/** A new model of a recipe, its weights drawn from the recipe's seed. */
export function newStage1Model(recipe: Stage1Recipe, device: Device = 'cpu'): Blip2ForPretraining {
  checkArgument('recipe', recipe, having('seed', 'model'));
  const model = building({ generator: new Generator(recipe.seed) }, () => new Blip2ForPretraining(recipe.model));
  return device === 'cpu' ? model : model.to({ device });
}

/** The recipe's vision tower without weights (on the meta device): load some into it. */
export function stage1Tower(recipe: Stage1Recipe): FeatureTower {
  return recipeTower(recipe);
}

/** Pairs that the data must give at a time. */
export function stage1BatchSize(recipe: Stage1Recipe): number {
  return recipeBatchSize(recipe);
}

/**
 * A trainer of a recipe's run. It seeds the generator behind dropout, which belongs to the process.
 * @throws ArgumentError where model and recipe do not fit
 */
export function stage1Trainer(recipe: Stage1Recipe, options: Stage1RunOptions): Trainer<CaptionedBatch, Stage1Batch> {
  checkArgument('recipe', recipe, having('seed', 'model'));
  checkArgument('options', options, having('model', 'tokenizer', 'data', 'directory'));
  const { model, ...run } = options;
  if (JSON.stringify(model.config) !== JSON.stringify(recipe.model)) {
    throw new ArgumentError('model', "a model of the recipe's configuration", 'one of another');
  }
  const negatives = new Generator(recipe.seed, model.queryTokens.device);
  const { encoder, tokenizer } = run;
  const objective = new Stage1Objective(recipe, { model, tokenizer, encoder, negatives });
  return recipeTrainer(recipe, { model, objective, generators: { negatives } }, run);
}
