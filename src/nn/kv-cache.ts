import { checkArgument, having } from '../native/arguments.ts';
import { checkOptionalTensors } from '../tensor/base.ts';
import { arange, type Device, type Dtype, empty, full, keep, type Tensor } from '../tensor/index.ts';

/** The shape of a {@link KeyValueCache}. Letters: B prompts, W continuations of each, P prompt positions. */
export interface KeyValueCacheOptions {
  /** Layers that have keys and values. */
  layers: number;
  /** H, attention heads. */
  heads: number;
  /** D, width of a head. */
  headDim: number;
  /** B, prompts. */
  batch: number;
  /** P, positions of the longest prompt. */
  prompt: number;
  /** W, continuations of each prompt: beams, or 1. */
  width: number;
  /** Most steps that may follow the prompt. */
  steps: number;
  /** Of keys, values and mask. */
  dtype: Dtype;
  /** Where they lie. */
  device: Device;
  /** `[B, P]`, 0 where the prompt is padding; null: nowhere. */
  promptMask: Tensor | null;
}

/** One step's views of the cache: where each layer writes its new keys and values, and what it then attends to. */
export interface CacheStep {
  /** Of each layer, `[2, B, H, W, D]`: where its new keys and behind them its new values are to be written. */
  readonly written: readonly Tensor[];
  /** Of each layer, `[B, H, length, D]`: all so far, those to be written included. */
  readonly keys: readonly Tensor[];
  /** Of each layer, `[B, H, length, D]`. */
  readonly values: readonly Tensor[];
  /** Added to the scores, `[B, 1, W, length]`; null where every continuation sees everything. */
  readonly mask: Tensor | null;
}

/**
 * Keys and values of a prompt and of W continuations of it, for every layer, in one block `[layers, 2, B, H, P + W·steps, D]`.
 *
 * The continuations share the prompt's part. Each step appends W columns, and nothing written is ever moved: when beams change places,
 * only a mask changes, which says which columns are each beam's ancestors. A step's queries are the W tokens of a prompt side by side,
 * so one attention call a layer serves all beams.
 */
export class KeyValueCache {
  /** Columns in use. */
  length = 0;
  readonly #options: KeyValueCacheOptions;
  /** `[layers, 2, B, H, P + W·steps, D]`, and with the first two dimensions in one. */
  readonly #pairs: Tensor;
  readonly #block: Tensor;
  readonly #mask: Tensor | null;

  constructor(options: KeyValueCacheOptions) {
    checkArgument('options', options, having('layers', 'batch', 'heads', 'headDim'));
    const { layers, batch, heads, headDim, prompt, width, steps, dtype, device, promptMask } = options;
    this.#options = options;
    const capacity = prompt + width * steps;
    this.#pairs = keep(empty([layers, 2, batch, heads, capacity, headDim], { dtype, device }));
    this.#block = keep(this.#pairs.flatten(0, 1));
    if (width === 1 && promptMask === null) {
      this.#mask = null;
    } else {
      this.#mask = keep(full([batch, 1, width, capacity], Number.NEGATIVE_INFINITY, { dtype, device }));
      const seen = promptMask === null ? null : promptMask.eq(0).view(batch, 1, 1, prompt);
      const promptPart = this.#mask.narrow(3, 0, prompt).zero_();
      if (seen !== null) promptPart.maskedFill_(seen, Number.NEGATIVE_INFINITY);
      // Continuation w owns column w of every later block of W columns.
      const rows = arange(0, width, 1, { device }).view(1, 1, width, 1);
      const columns = arange(0, width * steps, 1, { device }).remainder(width);
      if (steps > 0) this.#mask.narrow(3, prompt, width * steps).maskedFill_(rows.eq(columns), 0);
    }
  }

  /** Where each layer writes the prompt's keys and values, `[2, B, H, P, D]`. */
  beginPrompt(): Pick<CacheStep, 'written'> {
    this.length = this.#options.prompt;
    return { written: this.#written(0, this.length) };
  }

  /**
   * Makes room for one token of every continuation.
   * @param parents `[B, W]` int64: the continuation that each goes on from; null: itself
   */
  beginStep(parents: Tensor | null): CacheStep {
    checkOptionalTensors({ parents });
    const { batch, prompt, width } = this.#options;
    const start = this.length;
    this.length = start + width;
    if (parents != null && this.#mask !== null && start > prompt) {
      const written = this.#mask.narrow(3, prompt, start - prompt);
      written.copy_(written.gather(2, parents.view(batch, 1, width, 1).expand(-1, -1, -1, start - prompt)));
    }
    const all = this.#block.narrow(3, 0, this.length).unbind(0);
    return {
      written: this.#written(start, width),
      keys: all.filter((_, i) => i % 2 === 0),
      values: all.filter((_, i) => i % 2 === 1),
      mask: this.#mask === null ? null : this.#mask.narrow(3, 0, this.length),
    };
  }

  #written(start: number, count: number): Tensor[] {
    return this.#pairs.narrow(4, start, count).unbind(0);
  }

  /** Forgets all but the prompt. Only where every continuation went on from itself. */
  rewind(): void {
    this.length = this.#options.prompt;
  }

  /** Frees the cache. Views that a step was given become useless. */
  dispose(): void {
    this.#pairs.dispose();
    this.#block.dispose();
    this.#mask?.dispose();
  }
}
