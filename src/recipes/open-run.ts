import fs from 'node:fs';
import path from 'node:path';
import { checkThere } from '../hub/place.ts';
import { anArray, aPath, checkArgument } from '../native/arguments.ts';
import { ArgumentError, FileError } from '../native/errors.ts';
import { shown } from '../native/fields.ts';
import { readJsonObject } from '../native/files.ts';
import { CheckpointFolder, readProgress } from '../train/index.ts';
import { readRun, stageOf } from './run-settings.ts';

/** A run's folder, one of its checkpoints, and what the run was told. */
export interface SavedRun {
  /** The run's folder. */
  readonly folder: string;
  /** The checkpoint's folder. */
  readonly checkpoint: string;
  /** What the run was started with. */
  readonly settings: object;
}

/**
 * Finds a run and a checkpoint of it.
 * @param place the run's folder, or that of one of its checkpoints
 * @param which `'last'`, `'best'` or a step; that of `place` where it is a checkpoint's
 * @throws FileError for what is no run of this stage; ArgumentError for a checkpoint that is not there
 */
export function findRun(place: string, stage: string, which: string | number = 'last'): SavedRun {
  const folder = runFolder(place);
  const settings = readRun(folder, stage);
  if (settings === undefined)
    throw new FileError(place, 'expected the folder of a run (with run.json), or of one of its checkpoints');
  if (isCheckpoint(place)) return { folder, checkpoint: path.resolve(place), settings };
  const checkpoints = new CheckpointFolder(path.join(folder, 'checkpoints'));
  const last = checkpoints.latest();
  if (last === null) throw new FileError(folder, 'has no checkpoint yet');
  return { folder, checkpoint: chosen(checkpoints, last, which), settings };
}

/** Whether a folder is that of a checkpoint. */
export function isCheckpoint(place: string): boolean {
  checkArgument('place', place, aPath);
  return fs.existsSync(path.join(place, 'state.json'));
}

/** The folder of the run that a place is, or is a checkpoint of. */
export function runFolder(place: string): string {
  return isCheckpoint(place) ? path.dirname(path.dirname(path.resolve(place))) : path.resolve(place);
}

function chosen(checkpoints: CheckpointFolder, last: string, which: string | number): string {
  if (which === 'last') return last;
  const step = which === 'best' ? readProgress(last).best?.step : which;
  if (step === undefined) throw new ArgumentError('run.checkpoint', 'last or a step, as the run was not evaluated,', '"best"');
  if (typeof step === 'number' && checkpoints.steps().includes(step)) return checkpoints.at(step);
  throw new ArgumentError('run.checkpoint', `last, best or one of ${checkpoints.steps().join(', ')}`, shown(step));
}

/** What can be in a folder: a run of a stage, or a model of Hugging Face's. */
export type ModelKind = 'stage1' | 'stage2' | 'Blip2ForConditionalGeneration' | 'Blip2ForImageTextRetrieval';

const KINDS: readonly ModelKind[] = ['stage1', 'stage2', 'Blip2ForConditionalGeneration', 'Blip2ForImageTextRetrieval'];

/**
 * What is in a folder.
 * @throws FileError where it is nothing that is known, or none of those that are wanted
 */
export function modelKind(place: string, wanted: readonly ModelKind[]): ModelKind {
  checkArgument('place', place, aPath);
  checkArgument('wanted', wanted, anArray);
  checkThere(place);
  const names = stageOf(runFolder(place)) ?? architectures(place);
  const kind = KINDS.find((name) => [names].flat().includes(name));
  if (kind !== undefined && wanted.includes(kind)) return kind;
  const found = kind === undefined ? 'none' : described(kind);
  const remedy = kind === 'stage2' ? "; blip2 export makes a folder of Hugging Face's of it" : '';
  throw new FileError(place, `expected ${wanted.map(described).join(' or ')} but there is ${found}${remedy}`);
}

function described(kind: ModelKind): string {
  return kind.startsWith('stage') ? `a run of stage ${kind.slice(5)}` : `a folder of Hugging Face's ${kind}`;
}

function architectures(place: string): unknown {
  const file = path.join(place, 'config.json');
  return fs.existsSync(file) ? readJsonObject(file).architectures : undefined;
}
