import { setImmediate as nextTurn } from 'node:timers/promises';
import { autocast, type Device, inferenceMode, scope } from '../../tensor/index.ts';
import type { RetrievalProgress, RetrievalSettings } from './options.ts';

/** Runs the steps of an evaluation: each without gradients, in a scope and in the chosen precision, with a turn of the event loop after it. */
export class Work {
  readonly #settings: RetrievalSettings;
  /** Where the model works. */
  readonly device: Device;

  constructor(settings: RetrievalSettings, device: Device) {
    this.#settings = settings;
    this.device = device;
  }

  /** Runs a step. @throws the signal's reason once that is aborted */
  async step<T>(body: () => T): Promise<T> {
    this.#settings.signal?.throwIfAborted();
    const { precision } = this.#settings;
    const run = (): T => inferenceMode(() => scope(body));
    const result = precision === 'float32' ? run() : autocast({ device: this.device, dtype: precision }, run);
    await nextTurn();
    return result;
  }

  report(phase: RetrievalProgress['phase'], done: number, total: number | null): void {
    this.#settings.onProgress({ phase, done, total });
  }
}
