import fs from 'node:fs';
import path from 'node:path';
import { ArgumentError, FileError } from '../native/errors.ts';
import { shown } from '../native/fields.ts';
import { reasonOf } from '../native/files.ts';

/** How far an evaluation is. */
export interface TaskProgress {
  /** Pictures, or questions, done. */
  readonly done: number;
  /** How many there are. */
  readonly total: number;
}

/** What the evaluations of written text are told besides how to write. */
export interface TaskOptions {
  /** The file that the results are written to, whole or not at all; none unless told. */
  output?: string | undefined;
  /** Pictures, or questions, in one batch; 8 unless told. */
  batchSize?: number | undefined;
  /** Stops the model; no results are written then, and the call rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Called after every batch. */
  onProgress?: ((progress: TaskProgress) => void) | undefined;
}

/** @internal {@link TaskOptions} with their defaults. */
export interface TaskSettings {
  readonly output: string | undefined;
  readonly batchSize: number;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (progress: TaskProgress) => void;
}

/**
 * @internal The options of the task, checked, and all others, which are the model's to check.
 * @throws ArgumentError that names the option; FileError for results that could not be written, before hours have gone into them
 */
export function checkTaskOptions<O extends TaskOptions>(options: O): { task: TaskSettings; rest: Omit<O, keyof TaskOptions> } {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', shown(options));
  const { output, batchSize = 8, signal, onProgress = () => {}, ...rest } = options;
  if (output !== undefined && (typeof output !== 'string' || output === '')) {
    throw new ArgumentError('output', "a file's path", shown(output));
  }
  if (!Number.isSafeInteger(batchSize) || batchSize < 1) {
    throw new ArgumentError('batchSize', 'a whole number from 1', shown(batchSize));
  }
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new ArgumentError('signal', 'an AbortSignal', shown(signal));
  if (typeof onProgress !== 'function') throw new ArgumentError('onProgress', 'a function', shown(onProgress));
  if (output !== undefined) checkWritable(output);
  return { task: { output, batchSize, signal, onProgress }, rest };
}

function checkWritable(file: string): void {
  try {
    fs.accessSync(path.dirname(file), fs.constants.W_OK);
    if (!fs.statSync(file, { throwIfNoEntry: false })?.isDirectory()) return;
  } catch (error) {
    throw new FileError(file, `cannot be written: ${reasonOf(error)}`, { cause: error });
  }
  throw new FileError(file, 'expected a file but it is a folder');
}
