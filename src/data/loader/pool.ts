import { Worker } from 'node:worker_threads';
import { Blip2Error } from '../../native/errors.ts';
import { workerFlags } from '../../native/worker-flags.ts';
import type { ImageTransform } from '../transforms.ts';
import { type Job, limited, type Prepared, prepare } from './prepare.ts';

/** A job on its way to a thread. */
export interface Question {
  readonly id: number;
  readonly job: Job;
}

/** What came of it. */
export interface Answer {
  readonly id: number;
  readonly prepared: Prepared;
}

/** Prepares pictures. */
export interface Preparer {
  prepare(job: Job): Promise<Prepared>;
  close(): Promise<void>;
}

/** Prepares pictures on the calling thread; decoding still runs on sharp's. */
export function onThisThread(transform: ImageTransform): Preparer {
  return { prepare: limited(2, (job: Job) => prepare(job, transform)), close: async () => {} };
}

interface Pending {
  resolve(prepared: Prepared): void;
  reject(error: unknown): void;
}

/** Prepares pictures on threads of their own, so that they come on while the calling thread is in a training step. */
export class WorkerPool implements Preparer {
  readonly #workers: readonly PoolWorker[];

  constructor(transform: ImageTransform, count: number) {
    this.#workers = Array.from({ length: count }, () => new PoolWorker(transform));
  }

  prepare(job: Job): Promise<Prepared> {
    return this.#workers.reduce((least, worker) => (worker.pending < least.pending ? worker : least)).ask(job);
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.close()));
  }
}

class PoolWorker {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  #closing = false;
  #ended: Blip2Error | undefined;

  constructor(transform: ImageTransform) {
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: transform,
      name: 'blip2 loader',
      ...workerFlags(),
    });
    this.#worker.unref(); // a loader that nobody waits for does not keep the process alive
    this.#worker.on('message', ({ id, prepared }: Answer) => {
      this.#pending.get(id)?.resolve(prepared);
      this.#forget(id);
    });
    this.#worker.on('error', (error) => this.#end(`a loader's thread failed: ${error.message}`, error));
    this.#worker.on('exit', () => this.#end("a loader's thread has ended"));
  }

  get pending(): number {
    return this.#pending.size;
  }

  ask(job: Job): Promise<Prepared> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const question: Question = { id: this.#nextId++, job };
    return new Promise<Prepared>((resolve, reject) => {
      if (this.#pending.size === 0) this.#worker.ref();
      this.#pending.set(question.id, { resolve, reject });
      this.#worker.postMessage(question);
    });
  }

  /** The end is waited for, so until then an answer that still comes must not let the process go. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#worker.terminate();
  }

  #forget(id: number): void {
    this.#pending.delete(id);
    if (this.#pending.size === 0 && !this.#closing) this.#worker.unref();
  }

  #end(message: string, cause?: unknown): void {
    this.#ended ??= new Blip2Error('ERR_WORKER', message, cause === undefined ? undefined : { cause });
    for (const { reject } of this.#pending.values()) reject(this.#ended);
    this.#pending.clear();
  }
}
