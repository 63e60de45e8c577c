import type { ImageSource } from '../data/index.ts';
import { ArgumentError } from '../native/errors.ts';
import type { Device, Dtype } from '../tensor/index.ts';
import type { WorkerSettings } from './protocol.ts';

/** Where a model runs and in which dtype. */
export interface ModelOptions {
  /** `'cpu'` unless told. */
  device?: Device;
  /** What the checkpoint's configuration says unless told. `'bfloat16'` is the fast one on CPUs with AMX and on CUDA. */
  dtype?: Dtype;
  /** Threads of the model's operators; libtorch's own choice unless told. */
  threads?: number;
}

export function settingsOf(kind: WorkerSettings['kind'], directory: string, options: ModelOptions): WorkerSettings {
  if (typeof directory !== 'string') throw new ArgumentError('directory', "a folder's path", typeof directory);
  const { threads } = options;
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1)) {
    throw new ArgumentError('threads', 'an integer of at least 1', String(threads));
  }
  return { kind, directory, device: options.device, dtype: options.dtype, threads };
}

/** A list of pictures, whether one or many were given. */
export function imagesOf(images: ImageSource | readonly ImageSource[]): { list: readonly ImageSource[]; single: boolean } {
  const single = !Array.isArray(images);
  const list = (single ? [images] : images) as readonly ImageSource[];
  if (list.length === 0) throw new ArgumentError('images', 'at least one picture', 'none');
  const odd = list.find((image) => typeof image !== 'string' && (typeof image !== 'object' || image === null));
  if (odd !== undefined) throw new ArgumentError('images', 'paths, file: URLs, bytes or pixels', String(odd));
  return { list, single };
}

/** One text a picture; a single one stands for all. */
export function textsOf(name: string, texts: string | readonly string[], count: number): readonly string[] {
  if (typeof texts === 'string') return new Array<string>(count).fill(texts);
  if (!Array.isArray(texts) || texts.some((text) => typeof text !== 'string')) {
    throw new ArgumentError(name, 'a string or a list of strings', typeof texts);
  }
  if (texts.length !== count) throw new ArgumentError(name, `one for each of the ${count} pictures`, String(texts.length));
  return texts;
}

/** A picture that can be sent to another thread, which a URL object cannot. */
export function portable(image: ImageSource): ImageSource {
  return image instanceof URL ? image.href : image;
}
