import { WorkerError } from './errors.ts';
import type { Service } from './serve.ts';

/** A model that is called, wherever it lives. */
export interface ModelCalls {
  /** What is to be known of it. */
  readonly facts: unknown;
  /** The result of a call; `onPiece` is given what comes of it before. */
  call(method: string, input: unknown, signal?: AbortSignal, onPiece?: (piece: unknown) => void): Promise<unknown>;
  /** The same for calls that give their result in pieces. Leaving the loop early stops the call. */
  stream(method: string, input: unknown, signal?: AbortSignal): AsyncGenerator<unknown, void, undefined>;
  close(): Promise<void>;
}

/** The pieces of a call as they come. */
export async function* streamed(
  model: Pick<ModelCalls, 'call'>,
  method: string,
  input: unknown,
  signal?: AbortSignal,
): AsyncGenerator<unknown, void, undefined> {
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const pieces: unknown[] = [];
  let wake: () => void = () => {};
  let finished = false;
  const done = model
    .call(method, input, either, (piece) => {
      pieces.push(piece);
      wake();
    })
    .finally(() => {
      finished = true;
      wake();
    });
  done.catch(() => {}); // reported where it is awaited
  try {
    while (true) {
      while (pieces.length > 0) yield pieces.shift();
      if (finished) break;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    await done;
  } finally {
    if (!finished) stop.abort();
  }
}

/** A model in the calling thread, whose event loop it keeps busy. Calls are answered one after another. */
export class LocalModel implements ModelCalls {
  readonly #service: Service;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(service: Service) {
    this.#service = service;
  }

  get facts(): unknown {
    return this.#service.facts;
  }

  call(method: string, input: unknown, signal?: AbortSignal, onPiece?: (piece: unknown) => void): Promise<unknown> {
    const answer = async (): Promise<unknown> => {
      if (this.#closed) throw new WorkerError('ERR_CLOSED', 'the model has been closed');
      signal?.throwIfAborted();
      const call = this.#service.calls[method];
      if (call === undefined) throw new Error(`no call named ${method}`);
      return call(input as never, { signal: signal ?? new AbortController().signal, emit: (piece) => onPiece?.(piece) });
    };
    const result = this.#last.then(answer);
    this.#last = result.catch(() => {});
    return result;
  }

  stream(method: string, input: unknown, signal?: AbortSignal): AsyncGenerator<unknown, void, undefined> {
    return streamed(this, method, input, signal);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#last;
    this.#service.dispose();
  }
}
