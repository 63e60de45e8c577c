import { readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import {
  type Blip2ForPretraining,
  CheckpointFolder,
  FileError,
  FrozenEncoder,
  JsonLinesLog,
  loadSafetensors,
  newStage1Model,
  ProgressLog,
  type Stage1Recipe,
  type StepRecord,
  scope,
  stage1BatchSize,
  stage1Trainer,
  TensorBoardLog,
  Tokenizer,
} from 'blip2';
import type { EmojiScenes } from '../emoji/dataset.ts';
import { loadTower } from '../encoders/vision/weights.ts';
import { CurveLog } from './curve.ts';
import { captionedScenes } from './scenes.ts';
import { makeQFormerTokenizer } from './words.ts';

/** A first stage that can be used: the trained model over the frozen tower. */
export interface Stage1 {
  readonly recipe: Stage1Recipe;
  readonly model: Blip2ForPretraining;
  readonly encoder: FrozenEncoder;
  readonly tokenizer: Tokenizer;
}

/** A first stage fresh from training. */
export interface TrainedStage1 extends Stage1 {
  readonly frozenParameters: number;
  /** The trainer's last checkpoint. */
  readonly checkpoint: string;
  /** Every step, for curves. */
  readonly curve: readonly StepRecord[];
  readonly seconds: number;
}

const TOKENIZER = 'tokenizer';

/**
 * Trains the first stage with the library's recipe and trainer, over the frozen tower in `vision`. What an earlier run left in the folder is
 * removed.
 */
export async function trainStage1(
  recipe: Stage1Recipe,
  data: EmojiScenes,
  { directory, vision, quiet = false }: { directory: string; vision: string; quiet?: boolean },
): Promise<TrainedStage1> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const tower = loadTower(vision);
  const frozenParameters = tower.parameterCount();
  const encoder = new FrozenEncoder(tower, recipe.visionDtype);
  const tokenizer = await makeQFormerTokenizer(path.join(directory, TOKENIZER), data.concepts);
  const model = newStage1Model(recipe);
  const curve = new CurveLog();
  const started = performance.now();
  const trainer = stage1Trainer(recipe, {
    model,
    encoder,
    tokenizer,
    data: captionedScenes(data, stage1BatchSize(recipe)),
    directory,
    signals: false, // the demo always starts anew: Ctrl-C just ends it
    logs: [
      new JsonLinesLog(path.join(directory, 'log.jsonl')),
      new TensorBoardLog(directory),
      curve,
      ...(quiet ? [] : [new ProgressLog(recipe.steps)]),
    ],
  });
  const { checkpoint } = await trainer.run();
  const seconds = (performance.now() - started) / 1000;
  return { recipe, model: model.eval(), encoder, tokenizer, frozenParameters, checkpoint, curve: curve.records, seconds };
}

/**
 * The first stage that an earlier run left in a folder.
 * @throws FileError where there is none
 */
export function loadStage1(directory: string, vision: string): Stage1 {
  const checkpoint = new CheckpointFolder(path.join(directory, 'checkpoints')).latest();
  if (checkpoint === null) throw new FileError(directory, 'has no trained first stage in it');
  const { recipe } = JSON.parse(readFileSync(path.join(checkpoint, 'state.json'), 'utf8')) as { recipe: Stage1Recipe };
  const model = newStage1Model(recipe);
  scope(() => model.loadStateDict(loadSafetensors(path.join(checkpoint, 'model.safetensors'))));
  const encoder = new FrozenEncoder(loadTower(vision), recipe.visionDtype);
  return { recipe, model: model.eval(), encoder, tokenizer: Tokenizer.fromPretrained(path.join(directory, TOKENIZER)) };
}

/** Frees a first stage's tensors. */
export function disposeStage1({ model, encoder }: Stage1): void {
  model.dispose();
  encoder.dispose();
}
