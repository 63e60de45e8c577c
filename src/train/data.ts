import type { Json } from '../native/files.ts';

/** Batches one after the other, and where they are. A `Loader` of `data` is one. */
export interface BatchStream<B> {
  /** The next batch. Its tensors are the trainer's from then on, which disposes of them. */
  next(): Promise<IteratorResult<B, unknown>>;
  /** Where the stream is after the last batch that it gave. */
  state(): Json;
  /** Closes files and threads. No further batch is asked for. */
  close(): Promise<void>;
}

/** Opens the data, from the start or where an earlier stream of it was. */
export type OpenData<B> = (state?: Json) => BatchStream<B> | Promise<BatchStream<B>>;
