import type { ModelCalls } from './calls.ts';
import { streamed } from './calls.ts';
import { ModelWorker } from './client.ts';
import type { HeldImage } from './encoded-image.ts';
import type { WorkerSettings } from './protocol.ts';

/** What the input of a call has one of for each row, the first of them what the rows are. Calls that are not here are about none. */
const PER_ROW: Readonly<Record<string, readonly [string, ...string[]]>> = {
  write: ['images', 'prompts', 'names'],
  stream: ['images', 'prompts', 'names'],
  rank: ['images', 'prompts', 'names', 'answers'],
  encode: ['images', 'names', 'ids'],
  match: ['images'],
  encodeImages: ['images'],
  encodeTexts: ['texts'],
};

interface Member {
  readonly worker: ModelWorker;
  /** Rows that it was asked about and has not answered. */
  waiting: number;
}

type Input = Readonly<Record<string, readonly unknown[]>>;

/**
 * Several worker threads with a model each, which answer calls at the same time. The rows of a call (pictures, mostly) are dealt out to those with
 * the least to do, so that idle ones share it evenly; a picture that one of them holds goes there.
 */
export class ModelPool implements ModelCalls {
  readonly #members: readonly Member[];
  readonly #owners = new Map<number, Member>();

  private constructor(workers: readonly ModelWorker[]) {
    this.#members = workers.map((worker) => ({ worker, waiting: 0 }));
  }

  /** Starts so many workers, of which all are there in the end or none. */
  static async start(settings: WorkerSettings, count: number): Promise<ModelPool> {
    const starts = await Promise.allSettled(Array.from({ length: count }, () => ModelWorker.start(settings)));
    const workers = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    const failure = starts.find((start) => start.status === 'rejected');
    if (failure === undefined) return new ModelPool(workers);
    await Promise.all(workers.map((worker) => worker.close()));
    throw failure.reason;
  }

  get facts(): unknown {
    return this.#members[0]?.worker.facts;
  }

  /** As of one worker. The first part that fails is the call's error, and stops the others. */
  async call(method: string, input: unknown, signal?: AbortSignal, onPiece?: (piece: unknown) => void): Promise<unknown> {
    if (method === 'release') return this.#release(input as number);
    const fields = PER_ROW[method];
    if (fields === undefined) return this.#idlest().worker.call(method, input, signal, onPiece);
    signal?.throwIfAborted();
    const all = input as Input;
    const results: unknown[] = [];
    const stop = new AbortController();
    const abort = (): void => stop.abort(signal?.reason);
    const ask = async (member: Member, rows: readonly number[]): Promise<void> => {
      const own = fields.map((field) => [field, rows.map((row) => all[field]?.[row])] as const);
      const emit = onPiece && ((piece: unknown) => onPiece(movedTo(piece as { index: number }, rows)));
      member.waiting += rows.length;
      try {
        const answer = await member.worker.call(method, { ...all, ...Object.fromEntries(own) }, stop.signal, emit);
        if (Array.isArray(answer)) for (const [i, row] of rows.entries()) results[row] = answer[i];
      } finally {
        member.waiting -= rows.length;
      }
    };
    const parts = this.#deal(all[fields[0]] ?? []);
    if (method === 'encode') {
      for (const [member, rows] of parts) for (const row of rows) this.#owners.set(all.ids?.[row] as number, member);
    }
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await Promise.all([...parts].map(([member, rows]) => ask(member, rows)));
      return results;
    } catch (error) {
      stop.abort(error);
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  stream(method: string, input: unknown, signal?: AbortSignal): AsyncGenerator<unknown, void, undefined> {
    return streamed(this, method, input, signal);
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.map(({ worker }) => worker.close()));
  }

  async #release(id: number): Promise<void> {
    const owner = this.#owners.get(id);
    this.#owners.delete(id);
    await owner?.worker.call('release', id);
  }

  /** Those that live; where none does, any tells why. */
  get #living(): readonly Member[] {
    const living = this.#members.filter(({ worker }) => !worker.hasEnded);
    return living.length === 0 ? this.#members : living;
  }

  #idlest(): Member {
    return this.#living.reduce((best, member) => (member.waiting < best.waiting ? member : best));
  }

  /** Who answers which rows, in their order; neighbours stay together, as equal ones in one batch are encoded once. */
  #deal(rows: readonly unknown[]): Map<Member, number[]> {
    const dealt = new Map<Member, number[]>(this.#members.map((member) => [member, []]));
    const free: number[] = [];
    for (const [row, what] of rows.entries()) {
      const owner = isHeldImage(what) ? this.#owners.get(what.held) : undefined;
      (owner === undefined ? free : (dealt.get(owner) as number[])).push(row);
    }
    const loads = this.#living.map((member) => ({
      member,
      load: member.waiting + (dealt.get(member) as number[]).length,
      more: 0,
    }));
    for (const _ of free) {
      const least = loads.reduce((best, other) => (other.load + other.more < best.load + best.more ? other : best));
      least.more++;
    }
    for (const { member, more } of loads) dealt.get(member)?.push(...free.splice(0, more));
    for (const [member, own] of dealt) {
      if (own.length === 0) dealt.delete(member);
      else own.sort((a, b) => a - b);
    }
    return dealt;
  }
}

const isHeldImage = (row: unknown): row is HeldImage => typeof row === 'object' && row !== null && 'held' in row;

/** A piece of a part's row as one of the call's. */
const movedTo = (piece: { index: number }, rows: readonly number[]): unknown => ({ ...piece, index: rows[piece.index] });

/** Starts a worker with a model, or as many as are wanted. */
export function startModel(settings: WorkerSettings, workers: number): Promise<ModelCalls> {
  return workers === 1 ? ModelWorker.start(settings) : ModelPool.start(settings, workers);
}
