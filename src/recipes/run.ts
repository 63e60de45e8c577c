import path from 'node:path';
import { type Batch, type BrokenSample, evalTransform, loader, openDataset, type Tokenizer } from '../data/index.ts';
import { loadVisionTower } from '../models/index.ts';
import { ArgumentError } from '../native/errors.ts';
import { makeFolder } from '../native/files.ts';
import type { Module } from '../nn/index.ts';
import { trimMemory } from '../tensor/device.ts';
import {
  CheckpointFolder,
  FrozenEncoder,
  JsonLinesLog,
  TensorBoardLog,
  type TrainingEvaluation,
  type TrainingLog,
  type TrainingResult,
} from '../train/index.ts';
import { checkRunFree, holdRun } from '../train/run-lock.ts';
import { combinedEvaluation } from './evaluation-results.ts';
import { type RecipeRunOptions, recipeBatchSize } from './recipe-trainer.ts';
import { leftOut, openTrainingData } from './run-data.ts';
import { type RunSettings, writeRun } from './run-settings.ts';
import type { TrainingRecipe } from './training-recipe.ts';

/** Options of a run. */
export interface RunOptions {
  /** Goes on with the run in the folder where there is one, with its settings but for those that are given; false unless told. */
  resume?: boolean;
  /** Whether the device is fast in bfloat16, on which number formats depend that are not told; asked of the machine unless told. */
  fastBfloat16?: boolean;
  /** Logs beside the folder's own. */
  logs?: (recipe: TrainingRecipe) => readonly TrainingLog[];
  /** Ends the run after the step it is at; it saves first. While features are computed, when there is nothing to save, the run rejects with its reason. */
  signal?: AbortSignal;
}

/** A run that is ready. */
export interface Run<R extends TrainingRecipe = TrainingRecipe> {
  /** What is trained, and how. */
  readonly recipe: R;
  /** Data, folders, device. */
  readonly settings: RunSettings;
  /** Whether it goes on from a checkpoint. */
  readonly started: boolean;
  /** What is trained. */
  readonly model: Module;
  /** What it trains on: a name, and how many samples where that is known. */
  readonly dataset: { readonly name: string; readonly length: number | undefined };
  /** Trains to the end and frees what the run holds. Throws as `Trainer.run` does. */
  run(): Promise<TrainingResult>;
}

/** What a stage has planned. */
export interface Plan<R extends TrainingRecipe, S> {
  readonly recipe: R;
  readonly settings: RunSettings & { readonly visionWeights: string } & S;
  /** What was chosen for want of being told, for the logs; null for nothing that is worth a word. */
  readonly remark: string | null;
}

/** What a stage evaluates with. */
export interface DuringRun {
  /** Steps from one evaluation to the next. */
  readonly every: number;
  /** Pictures with all of their captions, each once, anew at every call; null for none. */
  readonly gallery: (() => AsyncIterable<Batch>) | null;
  readonly encoder: FrozenEncoder;
  /** Names a picture that cannot be used in the logs. */
  readonly onBroken: (picture: BrokenSample) => void;
  /** Where to write what models wrote. */
  readonly directory: string;
}

/** What of a run is a stage's own. */
export interface StageParts {
  readonly stage: string;
  readonly model: Module;
  readonly tokenizer: Tokenizer;
  /** Makes the trainer. */
  trainer(options: RecipeRunOptions): { run(): Promise<TrainingResult> };
  /** Makes the evaluations that the settings ask for. */
  evaluations(during: DuringRun): TrainingEvaluation[];
  /** Frees what else is the stage's. */
  dispose?(): void | Promise<void>;
}

/** Where a run's tokenizer is kept. */
export const TOKENIZER = 'tokenizer';

/** The folder of a run's last checkpoint; null where there is none. */
export function lastCheckpoint(folder: string): string | null {
  return new CheckpointFolder(path.join(folder, 'checkpoints')).latest();
}

/** @throws ArgumentError where a run that is not to go on would begin in the folder of another; RunHeldError where another process trains in it */
export function checkFolder(folder: string, resume: boolean): void {
  checkRunFree(folder);
  if (!resume && lastCheckpoint(folder) !== null) {
    throw new ArgumentError('run.out', 'a folder without a run in it, or --resume', folder);
  }
}

/**
 * Opens what both stages need, and writes what the run is told into its folder: `run.json` and `tokenizer/`, beside which there will be
 * `checkpoints/`, `log.jsonl` and TensorBoard's event files.
 */
export async function openRun<R extends TrainingRecipe, S>(
  plan: Plan<R, S>,
  parts: StageParts,
  options: RunOptions,
): Promise<Run<R>> {
  const release = await holdRun(plan.settings.out, false);
  try {
    return await openHeld(plan, parts, options, release);
  } catch (error) {
    release();
    throw error;
  }
}

/** Opens a run in a folder that this process holds until it has run. */
async function openHeld<R extends TrainingRecipe, S>(
  { recipe, settings, remark }: Plan<R, S>,
  { stage, model, tokenizer, ...parts }: StageParts,
  { resume = false, logs: more, signal }: RunOptions,
  release: () => void,
): Promise<Run<R>> {
  const { out, device, checkpoints, logEvery, features, evaluation } = settings;
  const { visionDtype: dtype, image, seed } = recipe;
  const started = lastCheckpoint(out) !== null;
  const encoder = new FrozenEncoder(loadVisionTower(recipe.vision, settings.visionWeights, { dtype, device }), dtype);
  const logs = [new JsonLinesLog(path.join(out, 'log.jsonl')), new TensorBoardLog(out), ...(more?.(recipe) ?? [])];
  const batches = { batchSize: recipeBatchSize(recipe), transform: image, seed };
  const data = await openTrainingData(settings, batches, encoder, logs, signal);
  const gallery = await openGallery(settings, recipe, logs);
  const evaluations = parts.evaluations({
    every: evaluation.every,
    gallery,
    encoder,
    onBroken: leftOut(logs),
    directory: path.join(out, 'evaluation'),
  });
  const write = (): void => writeRun(out, stage, { ...settings, ...recipe });
  if (!started) write();
  makeFolder(path.join(out, TOKENIZER));
  tokenizer.savePretrained(path.join(out, TOKENIZER));
  const trainer = parts.trainer({
    encoder: features === null ? encoder : null,
    tokenizer,
    async data(state) {
      if (remark !== null) for (const log of logs) log.message(remark);
      const stream = await data.open(state);
      if (started) write(); // only now is it known that the run goes on: one that is refused stays as it was
      return stream;
    },
    directory: out,
    resume,
    checkpoints,
    logs,
    logEvery,
    ...(signal === undefined ? {} : { signal }),
    ...(evaluations.length === 0 ? {} : { evaluation: combinedEvaluation(evaluations) }),
  });
  const { name, length } = data.dataset;
  const run = async (): Promise<TrainingResult> => {
    try {
      return await trainer.run();
    } finally {
      data.close();
      encoder.dispose();
      await parts.dispose?.();
      trimMemory(); // of the frozen models, which the trainer has not freed
      release();
    }
  };
  return { recipe, settings, started, model, dataset: { name, length }, run };
}

/** The pictures on which a run is evaluated, whole and in order; null where it is not. */
async function openGallery(
  { evaluation, images, device, workers, maxBroken }: RunSettings,
  { image }: TrainingRecipe,
  logs: readonly TrainingLog[],
): Promise<(() => AsyncIterable<Batch>) | null> {
  if (evaluation.data === null) return null;
  const folder = evaluation.images ?? images;
  const dataset = await openDataset(evaluation.data, {
    splits: ['val'],
    grouped: true,
    ...(folder === null ? {} : { images: folder }),
  });
  const transform = evalTransform({ ...image, crop: null, flip: 0 });
  const onBroken = leftOut(logs);
  const options = { batchSize: evaluation.batchSize, transform, shuffle: false, epochs: 1, device, maxBroken, onBroken };
  return () => loader(dataset, workers === null ? options : { ...options, workers });
}
