import { checkArgument, having } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import type { Json } from '../native/files.ts';
import type { Module } from '../nn/index.ts';
import type { AdamW } from '../optim/index.ts';
import type { Generator } from '../tensor/index.ts';
import type { OpenData } from './data.ts';
import type { TrainingLog } from './logs/log.ts';
import type { Objective } from './objective.ts';
import type { Precision } from './step.ts';

/** What a trainer does beside training, every so many steps. */
export interface TrainingEvaluation {
  /** Steps from one to the next; the last step is followed by one in any case. */
  every: number;
  /**
   * Gives metrics by name. The model is in evaluation mode meanwhile, and the generators are put back afterwards, so that a run with
   * evaluations trains exactly as one without. Once `signal` is aborted, as the run is to end, it may throw: the run is saved without it.
   */
  run: (step: number, signal: AbortSignal) => Promise<Readonly<Record<string, number>>>;
  /** The metric by which the best checkpoint is chosen, and which way is better. None is kept for being best unless told. */
  best?: { metric: string; better: 'higher' | 'lower' };
}

/** When a trainer saves, and what it keeps. */
export interface CheckpointOptions {
  /** Steps from one to the next; 1,000 unless told. The last step is followed by one in any case. */
  every?: number;
  /** How many are kept beside the best; 2 unless told. */
  keepLast?: number;
  /** Save frozen parameters too; false unless told. */
  whole?: boolean;
}

/** Options of a `Trainer`. */
export interface TrainerOptions<B, P = B> {
  /** Is put into training mode. */
  model: Module;
  /** What is minimised. */
  objective: Objective<B, P>;
  /** Opens the batches; told where to go on when a run is resumed. */
  data: OpenData<B>;
  /** Moves the parameters that it was given. */
  optimizer: AdamW;
  /** The learning rate of a step, counted from 0, for all groups. */
  schedule: (step: number) => number;
  /** Steps in all. */
  steps: number;
  /** The run's folder; checkpoints are in `checkpoints/`. */
  directory: string;
  /** Go on from the folder's last checkpoint where there is one; false unless told. */
  resume?: boolean;
  /** What the run was told, saved with every checkpoint. A run that goes on must be told the same. */
  recipe?: Json;
  /** Batches a step; 1 unless told. */
  accumulation?: number;
  /** Of matrix products, by autocast; `'float32'` unless told. With `'float16'` the loss is scaled. */
  precision?: Precision;
  /** Largest norm of all gradients together; null, for any, unless told. */
  clipNorm?: number | null;
  /** Generators that the objective draws from, by name. The one behind dropout needs no mention. */
  generators?: Readonly<Record<string, Generator>>;
  /** None unless told. */
  evaluation?: TrainingEvaluation;
  /** As {@link CheckpointOptions} says, unless told. */
  checkpoints?: CheckpointOptions;
  /** Are told every step; none unless told. */
  logs?: readonly TrainingLog[];
  /** Steps from one record in the logs to the next; 1 unless told. */
  logEvery?: number;
  /** Ends the run after the step it is at; it saves first. */
  signal?: AbortSignal;
  /** Do the same on SIGINT and SIGTERM; true unless told. */
  signals?: boolean;
}

/** @throws ArgumentError */
export function checkOptions<B, P>(options: TrainerOptions<B, P>): void {
  checkArgument('options', options, having('model', 'objective', 'data', 'optimizer', 'schedule', 'directory'));
  const { steps, accumulation = 1, logEvery = 1, clipNorm = null, evaluation, checkpoints = {} } = options;
  const counts = {
    steps,
    accumulation,
    logEvery,
    'evaluation.every': evaluation?.every ?? 1,
    'checkpoints.every': checkpoints.every ?? 1,
    'checkpoints.keepLast': checkpoints.keepLast ?? 1,
  };
  for (const [name, value] of Object.entries(counts)) {
    if (!Number.isSafeInteger(value) || value < 1) throw new ArgumentError(name, 'a positive integer', String(value));
  }
  if (clipNorm !== null && !(clipNorm > 0)) throw new ArgumentError('clipNorm', 'a number above 0, or null', String(clipNorm));
}

/** Whether a run that goes on was told what it was told before. @throws ArgumentError naming the first difference */
export function checkRecipe(saved: Json, given: Json, path = 'recipe'): void {
  if (isObject(saved) && isObject(given)) {
    for (const name of new Set([...Object.keys(saved), ...Object.keys(given)])) {
      checkRecipe(saved[name] ?? null, given[name] ?? null, `${path}.${name}`);
    }
  } else if (JSON.stringify(saved) !== JSON.stringify(given)) {
    const began =
      saved === null ? `none, as the checkpoint's state.json has none for ${path},` : `${brief(saved)}, as the run began,`;
    throw new ArgumentError(path, began, brief(given));
  }
}

/** A field's value in a message: none of a whole recipe. */
function brief(value: Json): string {
  if (value === null) return 'none';
  if (isObject(value)) return 'settings';
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function isObject(value: Json): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
