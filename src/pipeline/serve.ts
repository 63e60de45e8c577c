import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MessagePort } from 'node:worker_threads';
import { trimMemory } from '../tensor/device.ts';
import type { Device, Dtype, Tensor } from '../tensor/index.ts';
import { packError } from './errors.ts';
import type { Reply, Request } from './protocol.ts';

/** What a call is given besides its input. */
export interface CallContext {
  signal: AbortSignal;
  /** Sends a part of the result ahead. */
  emit(piece: unknown): void;
}

/** A model behind a message port: its calls by name, and how to free it. */
export interface Service {
  calls: Readonly<Record<string, (input: never, context: CallContext) => Promise<unknown>>>;
  /** What the other side is to know of the model. */
  facts?: unknown;
  dispose(): void;
}

/** Answers calls one after another until told to close. */
export function serve(port: MessagePort, service: Service): void {
  const aborts = new Map<number, AbortController>();
  let queue: Promise<void> = Promise.resolve();
  const post = (reply: Reply): void => port.postMessage(reply);

  const answer = async (id: number, method: string, input: unknown, signal: AbortSignal): Promise<void> => {
    try {
      signal.throwIfAborted();
      const call = service.calls[method];
      if (call === undefined) throw new Error(`no call named ${method}`);
      const result = await call(input as never, { signal, emit: (piece) => post({ type: 'piece', id, piece }) });
      post({ type: 'done', id, result });
    } catch (error) {
      post({ type: 'error', id, error: packError(error) });
    } finally {
      aborts.delete(id);
    }
  };

  port.on('message', (request: Request) => {
    if (request.type === 'call') {
      const abort = new AbortController();
      aborts.set(request.id, abort);
      queue = queue.then(() => answer(request.id, request.method, request.input, abort.signal));
    } else if (request.type === 'abort') {
      aborts.get(request.id)?.abort();
    } else {
      for (const abort of aborts.values()) abort.abort();
      void queue.then(() => {
        service.dispose();
        trimMemory();
        port.close();
      });
    }
  });
}

/** Gives the event loop a turn, so that an abort is seen, and obeys one. */
export async function turn(signal: AbortSignal): Promise<void> {
  await nextTurn();
  signal.throwIfAborted();
}

/** The list in parts of a size. */
export function* parts<T>(list: readonly T[], size: number): Generator<readonly T[]> {
  for (let i = 0; i < list.length; i += size) yield list.slice(i, i + size);
}

/** Moves a tensor, freeing the one given where it had to be copied. */
export function toDevice<T extends Tensor | undefined>(tensor: T, device: Device, dtype?: Dtype): T {
  if (tensor === undefined) return tensor;
  const moved = tensor.to({ device, ...(dtype === undefined ? {} : { dtype }) });
  if (moved !== tensor) tensor.dispose();
  return moved as T;
}
