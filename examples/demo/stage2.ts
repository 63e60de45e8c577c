import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import {
  exportStage2,
  FrozenEncoder,
  initFromStage1,
  JsonLinesLog,
  loadLanguageModel,
  newStage2Model,
  ProgressLog,
  recipeBatchSize,
  type Stage2Recipe,
  type Stage2Whole,
  type StepRecord,
  stage2Trainer,
  TensorBoardLog,
  Tokenizer,
} from 'blip2';
import type { EmojiScenes } from '../emoji/dataset.ts';
import { loadTower } from '../encoders/vision/weights.ts';
import { CurveLog } from './curve.ts';
import { captionedScenes } from './scenes.ts';

/** Where the parts are that a second stage begins with. */
export interface Stage2Start {
  /** A checkpoint of the first stage; null leaves the Q-Former's weights random, for the paper's ablation. */
  readonly stage1: string | null;
  /** The file with the frozen tower's weights, and the frozen language model's folder. */
  readonly vision: string;
  readonly languageModel: string;
}

/** A second stage fresh from training. */
export interface TrainedStage2 {
  readonly recipe: Stage2Recipe;
  /** The whole model as a Hugging Face checkpoint. */
  readonly model: string;
  readonly trainedParameters: number;
  readonly languageParameters: number;
  /** Every step, for curves. */
  readonly curve: readonly StepRecord[];
  readonly seconds: number;
}

export interface Stage2Run {
  /** Where the run and the whole model go. What an earlier run left there is removed. */
  readonly directory: string;
  /** No progress line. */
  readonly quiet?: boolean;
  /** Is given the whole model so far, as a Hugging Face checkpoint, every so many steps. */
  readonly look?: { readonly every: number; readonly at: (step: number, model: string) => Promise<void> };
}

/**
 * Trains the second stage with the library's recipe and trainer, over the frozen tower and language model, and exports the whole model.
 */
export async function trainStage2(
  recipe: Stage2Recipe,
  data: EmojiScenes,
  start: Stage2Start,
  { directory, quiet = false, look }: Stage2Run,
): Promise<TrainedStage2> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  using tower = loadTower(start.vision);
  const encoder = new FrozenEncoder(tower, recipe.visionDtype);
  using languageModel = loadLanguageModel(start.languageModel, { dtype: recipe.languageModelDtype });
  using model = newStage2Model(recipe);
  if (start.stage1 !== null) initFromStage1(model, start.stage1);
  const tokenizer = Tokenizer.fromPretrained(start.languageModel);
  const whole: Stage2Whole = { recipe, tokenizer, trained: model, visionModel: tower, languageModel };
  const exported = path.join(directory, 'model');
  const curve = new CurveLog();
  const started = performance.now();
  const trainer = stage2Trainer(recipe, {
    model,
    languageModel,
    encoder,
    tokenizer,
    data: captionedScenes(data, recipeBatchSize(recipe)),
    directory,
    signals: false, // the demo always starts anew: Ctrl-C just ends it
    ...(look && { evaluation: { every: look.every, run: looking(whole, exported, look.at) } }),
    logs: [
      new JsonLinesLog(path.join(directory, 'log.jsonl')),
      new TensorBoardLog(directory),
      curve,
      ...(quiet ? [] : [new ProgressLog(recipe.steps)]),
    ],
  });
  await trainer.run();
  const seconds = (performance.now() - started) / 1000;
  await exportWhole(whole, exported);
  const parameters = { trainedParameters: model.parameterCount(), languageParameters: languageModel.parameterCount() };
  return { recipe, model: exported, ...parameters, curve: curve.records, seconds };
}

function looking(whole: Stage2Whole, folder: string, at: (step: number, model: string) => Promise<void>) {
  return async (step: number): Promise<Record<string, number>> => {
    await exportWhole(whole, folder);
    await at(step, folder);
    return {};
  };
}

async function exportWhole(whole: Stage2Whole, folder: string): Promise<void> {
  exportStage2(whole, `${folder}.partial`);
  await rm(folder, { recursive: true, force: true });
  await rename(`${folder}.partial`, folder);
}
