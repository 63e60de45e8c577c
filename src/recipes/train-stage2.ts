import { checkAgreement } from '../models/blip2/language/agreement.ts';
import { languageKind } from '../models/blip2/language/kinds.ts';
import { Blip2ForGenerativePretraining, type LanguageModel, type TextConfig } from '../models/index.ts';
import { checkArgument, having } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { building } from '../nn/index.ts';
import type { Stage2Batch } from '../objectives/index.ts';
import { type Device, Generator } from '../tensor/index.ts';
import type { Trainer } from '../train/index.ts';
import type { CaptionedBatch } from './captioned-batch.ts';
import { type RecipeRunOptions, recipeTrainer } from './recipe-trainer.ts';
import type { Stage2Recipe } from './stage2.ts';
import { Stage2Objective } from './stage2-objective.ts';

/** What a run of the second stage needs beside its recipe. */
export interface Stage2RunOptions extends RecipeRunOptions {
  /** Of {@link newStage2Model}, with the first stage's weights in it (`initFromStage1`). */
  model: Blip2ForGenerativePretraining;
  /** Of `loadLanguageModel`, its `shape` the recipe's `languageModel`. Is frozen, cast as the recipe says, and put into evaluation mode. On the model's device. */
  languageModel: LanguageModel;
}

/** A new model of a recipe, its weights drawn from the recipe's seed. */
export function newStage2Model(recipe: Stage2Recipe, device: Device = 'cpu'): Blip2ForGenerativePretraining {
  checkArgument('recipe', recipe, having('seed', 'model'));
  const model = building({ generator: new Generator(recipe.seed) }, () => new Blip2ForGenerativePretraining(recipe.model));
  return device === 'cpu' ? model : model.to({ device });
}

/**
 * A trainer of a recipe's run. It seeds the generator behind dropout, which belongs to the process. Checkpoints hold what is trained; the
 * frozen encoder and language model are no part of them.
 * @throws ArgumentError where models and recipe do not fit, naming the field of the language model's configuration that changes its numbers
 */
export function stage2Trainer(recipe: Stage2Recipe, options: Stage2RunOptions): Trainer<CaptionedBatch, Stage2Batch> {
  checkArgument('recipe', recipe, having('seed', 'model'));
  checkArgument('options', options, having('model', 'languageModel', 'tokenizer', 'data', 'directory'));
  const { model, languageModel, ...run } = options;
  if (JSON.stringify(model.config) !== JSON.stringify(recipe.model)) {
    throw new ArgumentError('model', "a model of the recipe's configuration", 'one of another');
  }
  // A folder may have a larger vocabulary or other special tokens than what the recipe's name stands for.
  const of = (config: TextConfig): string => `${config.modelType}, ${languageKind(config.modelType).width(config)} wide`;
  if (of(languageModel.config) !== of(recipe.languageModel)) {
    throw new ArgumentError('languageModel', of(recipe.languageModel), of(languageModel.config));
  }
  checkAgreement(languageModel.config, recipe.languageModel, {
    place: 'languageModel.config.',
    dropout: recipe.languageModelDropout,
  });
  languageModel.freeze().eval().to(recipe.languageModelDtype);
  const splits = new Generator(recipe.seed);
  const { encoder, tokenizer } = run;
  const objective = new Stage2Objective(recipe, { model, languageModel, tokenizer, encoder, splits });
  return recipeTrainer(recipe, { model, objective, generators: { splits } }, run);
}
