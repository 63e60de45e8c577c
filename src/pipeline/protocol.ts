import type { Device, Dtype } from '../tensor/index.ts';
import type { PackedError } from './errors.ts';

/** What a worker is started with. */
export interface WorkerSettings {
  kind: 'generative' | 'retrieval';
  directory: string;
  device: Device | undefined;
  dtype: Dtype | 'auto' | undefined;
  threads: number | undefined;
}

/** To the worker. */
export type Request =
  | { type: 'call'; id: number; method: string; input: unknown }
  | { type: 'abort'; id: number }
  | { type: 'close' };

/** From the worker. */
export type Reply =
  | { type: 'ready' }
  | { type: 'failed'; error: PackedError }
  | { type: 'piece'; id: number; piece: unknown }
  | { type: 'done'; id: number; result: unknown }
  | { type: 'error'; id: number; error: PackedError };

/** Where and in which dtype the worker's model is loaded. */
export function loadOptions({ device, dtype }: WorkerSettings): { device?: Device; dtype?: Dtype | 'auto' } {
  return { ...(device === undefined ? {} : { device }), ...(dtype === undefined ? {} : { dtype }) };
}
