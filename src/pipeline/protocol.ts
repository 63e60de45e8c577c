import type { LoadOptions, TextConfig } from '../models/index.ts';
import type { Device, Dtype } from '../tensor/index.ts';
import type { PackedError } from './errors.ts';

/** What a worker is started with. */
export interface WorkerSettings {
  kind: 'generative' | 'retrieval';
  directory: string;
  device: Device | undefined;
  dtype: Dtype | 'auto' | undefined;
  mapped?: boolean | undefined;
  threads: number | undefined;
}

/** What is to be known of a generative model. */
export interface GenerativeFacts {
  languageModel: TextConfig['modelType'];
  /** Most tokens of prompt and new text together; null where positions end nowhere. */
  positions: number | null;
  /** Most tokens of a prompt that the tokenizer speaks of; null where it speaks of none. */
  maxPromptLength: number | null;
}

/** To the worker. */
export type Request =
  | { type: 'call'; id: number; method: string; input: unknown }
  | { type: 'abort'; id: number }
  | { type: 'close' };

/** From the worker. */
export type Reply =
  | { type: 'ready'; facts?: unknown }
  | { type: 'failed'; error: PackedError }
  | { type: 'piece'; id: number; piece: unknown }
  | { type: 'done'; id: number; result: unknown }
  | { type: 'error'; id: number; error: PackedError };

/** Where and in which dtype the worker's model is loaded. */
export function loadOptions({ device, dtype, mapped }: WorkerSettings): LoadOptions {
  return {
    ...(device === undefined ? {} : { device }),
    ...(dtype === undefined ? {} : { dtype }),
    ...(mapped === undefined ? {} : { mapped }),
  };
}
