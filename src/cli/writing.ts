// What the commands share that let a model write.
import fs from 'node:fs';
import type { Command } from 'commander';
import { FileError } from '../native/errors.ts';
import type { Blip2, ModelOptions } from '../pipeline/index.ts';
import type { TrainedStage1 } from '../recipes/index.ts';
import type { Device } from '../tensor/index.ts';
import { UsageError } from './exit.ts';
import { addFields, flagOf, parseValue, settingsOf } from './flags.ts';
import { downloaded } from './model.ts';

const WORDS: Readonly<Record<string, string>> = {
  device: 'cpu, cuda, cuda:1, …',
  dtype: 'float32, bfloat16, float16, or auto: as the folder says',
  threads: "threads of an operator; libtorch's choice unless told",
  workers: 'models at work at the same time, which share weights of that dtype; 1 unless told',
  batchSize: 'pictures at a time',
  numBeams: 'beams',
  lengthPenalty: 'of beams: above 0 favours long texts',
  minNewTokens: 'tokens at least',
  maxNewTokens: 'tokens at most',
  repetitionPenalty: 'above 1: tokens that were there already become less likely',
  doSample: 'true: draw tokens instead of taking the most likely ones',
  temperature: 'of the drawing',
  topK: 'draw from so many tokens',
  topP: 'draw from the most likely tokens with so much probability',
  seed: 'of the drawing',
};

/** Gives a command the flags of the model and of how it writes. */
export function addWritingFields(command: Command, without: readonly string[] = []): void {
  const words = Object.fromEntries(Object.entries(WORDS).filter(([name]) => !without.includes(name)));
  const fields = Object.keys(words).map((name) => ({ name, value: null }));
  addFields(command, fields, 'The model, and how it writes:', words);
}

/** The values of these flags: where the model is, and how it writes. */
export interface WritingSettings {
  readonly where: ModelOptions;
  readonly writing: Readonly<Record<string, unknown>>;
}

export function writingSettings(flags: Readonly<Record<string, unknown>>): WritingSettings {
  const { device, dtype, threads, workers, ...writing } = settingsOf(flags);
  return { where: { device, dtype, threads, workers } as ModelOptions, writing };
}

/** @throws UsageError for flags of writing beside answers to choose from. */
export function checkChoosing(answers: readonly string[] | undefined, { writing }: WritingSettings): void {
  if (answers !== undefined && Object.keys(writing).some((name) => name !== 'batchSize')) {
    throw new UsageError('with --answers nothing is written, so that flags of writing have no effect');
  }
}

/** @throws FileError for a picture that is not there: before a model is loaded, or downloaded */
export function checkPictures(pictures: readonly string[]): void {
  const absent = pictures.find((picture) => !picture.startsWith('file:') && !fs.existsSync(picture));
  if (absent !== undefined) throw new FileError(absent, 'there is no such picture');
}

/** Opens a model that writes, and closes it in the end. */
export async function withBlip2<T>(folder: string, where: ModelOptions, body: (blip2: Blip2) => Promise<T>): Promise<T> {
  const { modelKind } = await import('../recipes/index.ts');
  const { Blip2 } = await import('../pipeline/index.ts');
  modelKind(folder, ['Blip2ForConditionalGeneration']);
  const blip2 = await Blip2.fromPretrained(folder, where);
  try {
    return await body(blip2);
  } finally {
    await blip2.close();
  }
}

/** What is for runs of the first stage only. */
export interface RunFlags {
  readonly checkpoint?: string;
  readonly visionWeights?: string;
}

/** Gives a command these flags. */
export function addRunFlags(command: Command): Command {
  return command
    .option('--checkpoint <which>', 'of a run: last, best or a step')
    .option('--vision-weights <path>', "of a run: its tower's weights, if they have been moved");
}

/**
 * Whether a folder that is to caption is a run of the first stage, rather than a model of Hugging Face's.
 * @throws FileError for anything else; UsageError for flags of the other kind
 */
export async function isStage1(folder: string, prompt: string | undefined, flags: RunFlags): Promise<boolean> {
  const { modelKind } = await import('../recipes/index.ts');
  const isRun = modelKind(folder, ['stage1', 'Blip2ForConditionalGeneration']) === 'stage1';
  if (isRun && prompt !== undefined)
    throw new UsageError('--prompt is for models with a language model, and this is a run of stage 1');
  const odd = (['checkpoint', 'visionWeights'] as const).find((name) => flags[name] !== undefined);
  if (!isRun && odd !== undefined) throw new UsageError(`${flagOf(odd)} is for runs, and this is a folder of Hugging Face`);
  return isRun;
}

/** Opens a run of the first stage, which captions in its own way, and lets go of it in the end. */
export async function withStage1<T>(
  folder: string,
  { checkpoint, visionWeights: moved }: RunFlags,
  { device = 'cpu' as Device, threads, workers }: ModelOptions,
  body: (stage1: TrainedStage1) => Promise<T>,
): Promise<T> {
  if (workers !== undefined) throw new UsageError('--workers is for models with a language model, and this is a run of stage 1');
  const { openStage1 } = await import('../recipes/index.ts');
  const { setThreads } = await import('../tensor/index.ts');
  if (threads !== undefined) setThreads(threads);
  const which = checkpoint === undefined ? 'last' : (parseValue(checkpoint) as string | number);
  const visionWeights = moved === undefined ? undefined : await downloaded(moved);
  const stage1 = openStage1(folder, { device, checkpoint: which, visionWeights });
  try {
    return await body(stage1);
  } finally {
    stage1.dispose();
  }
}
