import { Worker } from 'node:worker_threads';
import { ArgumentError } from '../native/errors.ts';
import { workerFlags } from '../native/worker-flags.ts';
import { type ModelCalls, streamed } from './calls.ts';
import { unpackError, WorkerError } from './errors.ts';
import type { Reply, Request, WorkerSettings } from './protocol.ts';

interface Pending {
  resolve(result: unknown): void;
  reject(error: unknown): void;
  onPiece: ((piece: unknown) => void) | undefined;
}

/** One worker thread with a model in it. Calls are answered in the order in which they were made. */
export class ModelWorker implements ModelCalls {
  /** What the worker says of its model. */
  readonly facts: unknown;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #exited: Promise<void>;
  #nextId = 0;
  #ended: WorkerError | undefined;

  private constructor(worker: Worker, facts: unknown) {
    this.facts = facts;
    this.#worker = worker;
    this.#exited = new Promise((resolve) => worker.once('exit', () => resolve()));
    worker.on('message', (reply: Reply) => this.#receive(reply));
    worker.on('error', (error) =>
      this.#end(new WorkerError('ERR_WORKER', `the model's worker died: ${error.message}`, { cause: error })),
    );
    worker.on('exit', (code) => this.#end(new WorkerError('ERR_WORKER', `the model's worker exited with code ${code}`)));
  }

  /** Whether it was closed or has died: no call of it is answered any more. */
  get hasEnded(): boolean {
    return this.#ended !== undefined;
  }

  /** Starts a worker and waits until its model is loaded. */
  static start(settings: WorkerSettings, file = new URL('./worker.js', import.meta.url)): Promise<ModelWorker> {
    const worker = new Worker(file, { workerData: settings, name: 'blip2', ...workerFlags() });
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void =>
        reject(new WorkerError('ERR_WORKER', `the model's worker died: ${error.message}`, { cause: error }));
      const exit = (code: number): void => fail(new Error(`exit code ${code}`));
      worker.once('error', fail);
      worker.once('exit', exit);
      worker.once('message', (reply: Reply) => {
        worker.off('error', fail);
        worker.off('exit', exit);
        if (reply.type === 'failed') {
          void worker.terminate();
          reject(unpackError(reply.error));
        } else {
          const client = new ModelWorker(worker, reply.type === 'ready' ? reply.facts : undefined);
          worker.unref(); // an idle model does not keep the process alive
          resolve(client);
        }
      });
    });
  }

  /**
   * Sends a call. The signal rejects it at once and takes it out of the queue, or stops it at its next step; what the worker still says of
   * it is passed over.
   * @throws ArgumentError for an input that cannot be sent to another thread
   */
  call(method: string, input: unknown, signal?: AbortSignal, onPiece?: (piece: unknown) => void): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    if (signal?.aborted) return Promise.reject(signal.reason);
    const id = this.#nextId++;
    const abort = (): void => {
      this.#post({ type: 'abort', id });
      this.#settle(id)?.reject(signal?.reason);
    };
    return new Promise<unknown>((resolve, reject) => {
      this.#send({ type: 'call', id, method, input }); // first: it throws for what cannot be cloned
      this.#pending.set(id, { resolve, reject, onPiece });
      if (this.#pending.size === 1) this.#worker.ref();
      signal?.addEventListener('abort', abort, { once: true });
    }).finally(() => signal?.removeEventListener('abort', abort));
  }

  /** The same for calls that give their result in pieces. Leaving the loop early stops the call. */
  stream(method: string, input: unknown, signal?: AbortSignal): AsyncGenerator<unknown, void, undefined> {
    return streamed(this, method, input, signal);
  }

  /** Ends the worker and frees the model; calls that wait are rejected. Every close is done when the worker has ended. */
  close(): Promise<void> {
    if (this.#ended === undefined) {
      this.#post({ type: 'close' });
      this.#worker.ref();
      this.#end(new WorkerError('ERR_CLOSED', 'the model has been closed'));
    }
    return this.#exited;
  }

  #send(request: Extract<Request, { type: 'call' }>): void {
    try {
      this.#post(request);
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      throw new ArgumentError(uncloneable(request.input) ?? 'input', 'a value that can be sent to another thread', problem, {
        cause: error,
      });
    }
  }

  #post(request: Request): void {
    this.#worker.postMessage(request);
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (this.#pending.delete(id) && this.#pending.size === 0) this.#worker.unref();
    return pending;
  }

  #receive(reply: Reply): void {
    if (reply.type === 'piece') this.#pending.get(reply.id)?.onPiece?.(reply.piece);
    else if (reply.type === 'done') this.#settle(reply.id)?.resolve(reply.result);
    else if (reply.type === 'error') this.#settle(reply.id)?.reject(unpackError(reply.error));
  }

  #end(error: WorkerError): void {
    this.#ended ??= error;
    for (const { reject } of this.#pending.values()) reject(this.#ended);
    this.#pending.clear();
  }
}

/** The innermost named field that a structured clone refuses. */
function uncloneable(input: unknown): string | undefined {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return undefined;
  for (const [name, value] of Object.entries(input)) {
    try {
      structuredClone(value);
    } catch {
      return uncloneable(value) ?? name;
    }
  }
  return undefined;
}
