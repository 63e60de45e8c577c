import { availableParallelism } from 'node:os';
import type { ImageSource } from '../data/index.ts';
import type { DownloadOptions } from '../hub/index.ts';
import { pretrainedFolder } from '../hub/place.ts';
import { checkLoadDtype } from '../models/checkpoint.ts';
import { ArgumentError } from '../native/errors.ts';
import type { Device, Dtype } from '../tensor/index.ts';
import type { WorkerSettings } from './protocol.ts';

/** Where a model runs and in which dtype. */
export interface ModelOptions {
  /** `'cpu'` unless told. */
  device?: Device;
  /** float32 unless told; `'auto'` is the one that config.json names. `'bfloat16'` is the fast one on CPUs with AMX and on CUDA. */
  dtype?: Dtype | 'auto';
  /** Lays weights that are stored in that dtype over the file's pages, as in `LoadOptions`; unless told, with several `workers` only. */
  mapped?: boolean;
  /** Threads of the model's operators, in each worker; unless told, libtorch's own choice, or with several `workers` the processors divided by their number. */
  threads?: number;
  /**
   * Worker threads that answer at the same time; 1 unless told. The pictures of a call, and calls made together, are divided among them. Each has
   * a model of its own. On the CPU, weights that the files have in the wanted `dtype` are mapped, so that all share one copy; what has to be converted
   * (a float16 file as float32), and what lies on another device, each worker holds for itself.
   *
   * Worth while for small models, whose products gain little from more threads, and for a service that is asked by many at once; a large model
   * uses all processors by itself. What is written does not depend on the number.
   */
  workers?: number;
}

/** How a model is loaded, and downloaded where it is one of the Hub's that the cache has not. */
export interface PretrainedOptions extends ModelOptions, Pick<DownloadOptions, 'revision' | 'signal' | 'onProgress'> {}

const PRETRAINED: Readonly<Record<keyof PretrainedOptions, true>> = {
  device: true,
  dtype: true,
  mapped: true,
  threads: true,
  workers: true,
  revision: true,
  signal: true,
  onProgress: true,
};

const MOST_WORKERS = 256;

/** What a model is started with: each worker's settings, and how many there are. */
export interface ModelStart {
  readonly settings: WorkerSettings;
  readonly workers: number;
}

/** What workers with a model are started with; the model is downloaded where it has to be. */
export async function settingsFor(kind: WorkerSettings['kind'], model: string, options: PretrainedOptions): Promise<ModelStart> {
  const { settings, workers } = settingsOf(kind, model, options);
  const { revision, signal, onProgress } = options;
  return { settings: { ...settings, directory: await pretrainedFolder(model, { revision, signal, onProgress }) }, workers };
}

function settingsOf(kind: WorkerSettings['kind'], directory: string, options: ModelOptions): ModelStart {
  if (typeof directory !== 'string')
    throw new ArgumentError('model', "a folder's path, or owner/name of the Hub", typeof directory);
  checkOptions(options, PRETRAINED);
  const { device, dtype, workers = 1 } = options;
  checkWhole('workers', workers, MOST_WORKERS);
  const divided = workers > 1 ? Math.max(1, Math.floor(availableParallelism() / workers)) : undefined;
  const { threads = divided, mapped = workers > 1 } = options;
  if (device !== undefined && typeof device !== 'string')
    throw new ArgumentError('device', 'a string such as cuda:0', shown(device));
  checkLoadDtype(dtype);
  if (mapped !== undefined && typeof mapped !== 'boolean') throw new ArgumentError('mapped', 'true or false', shown(mapped));
  if (threads !== undefined) checkWhole('threads', threads);
  return { settings: { kind, directory, device, dtype, mapped, threads }, workers };
}

/**
 * Checks that options are an object with no other names than those that are known, if these are told.
 * @throws ArgumentError
 */
export function checkOptions(options: object, known?: Readonly<Record<string, true>>): void {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', shown(options));
  const odd = known && Object.keys(options).find((name) => !Object.hasOwn(known, name));
  if (odd !== undefined) throw new ArgumentError(odd, 'an option of this call', 'another one');
}

/** @throws ArgumentError for what is neither an AbortSignal nor left out */
export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new ArgumentError('signal', 'an AbortSignal', shown(signal));
  }
}

/** @throws ArgumentError for what is no number of samples */
export function checkBatchSize(batchSize: number): void {
  checkWhole('batchSize', batchSize);
}

function checkWhole(name: string, value: number, most = Number.POSITIVE_INFINITY): void {
  if (Number.isInteger(value) && value >= 1 && value <= most) return;
  const expected = most < Number.POSITIVE_INFINITY ? `an integer from 1 to ${most}` : 'an integer of at least 1';
  throw new ArgumentError(name, expected, shown(value));
}

/** A value as a message shows it; JavaScript may give anything. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  return typeof value === 'function' ? 'a function' : String(value);
}

/** A list of pictures, whether one or many were given. */
export function imagesOf<T extends ImageSource | object>(images: T | readonly T[]): { list: readonly T[]; single: boolean } {
  const single = !Array.isArray(images);
  const list = (single ? [images] : images) as readonly T[];
  if (list.length === 0) throw new ArgumentError('images', 'at least one picture', 'none');
  const odd = list.findIndex((image) => typeof image !== 'string' && (typeof image !== 'object' || image === null));
  if (odd >= 0) throw new ArgumentError('images', 'paths, file: URLs, bytes or pixels', String(list[odd]));
  return { list, single };
}

/**
 * One text a picture; a single one stands for all.
 * @throws ArgumentError for another number of them, and for a blank one where there should be none
 */
export function textsOf(name: string, texts: string | readonly string[], count: number, allowBlank: boolean): readonly string[] {
  const list: readonly unknown[] = Array.isArray(texts) ? texts : [texts];
  const odd = list.findIndex((text) => typeof text !== 'string' || (text.trim() === '' && !allowBlank));
  if (odd >= 0) {
    throw new ArgumentError(
      name,
      `a text${allowBlank ? '' : ' that is not blank'}, or a list of them`,
      `${shown(list[odd])}${list === texts ? ` at ${odd}` : ''}`,
    );
  }
  if (typeof texts === 'string') return new Array<string>(count).fill(texts);
  if (texts.length !== count) throw new ArgumentError(name, `one for each of the ${count} pictures`, String(texts.length));
  return texts;
}

/** A picture that can be sent to another thread, which a URL object cannot. */
export function portable(image: ImageSource): ImageSource {
  return image instanceof URL ? image.href : image;
}
