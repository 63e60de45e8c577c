import type { Rewindable } from '../../generate/decodable.ts';
import { KeyValueCache } from '../../nn/index.ts';
import { full, keep, scope, type Tensor } from '../../tensor/index.ts';
import type { CrossContext, SelfContext, T5ForConditionalGeneration } from './model.ts';
import { paddingMask } from './positions.ts';

/**
 * Decodes with T5 from an embedded encoder input. The encoder and the cross-attentions' keys and values are run once, whatever the number of
 * continuations, which also share the start token.
 */
export class T5Decoding implements Rewindable {
  readonly batch: number;
  /** Relative positions end nowhere. */
  readonly room = Number.POSITIVE_INFINITY;
  readonly #model: T5ForConditionalGeneration;
  readonly #prompt: Tensor;
  readonly #promptMask: Tensor | null;
  #cache: KeyValueCache | null = null;
  #cross: readonly CrossContext[] = [];
  #crossBias: Tensor | null = null;
  /** By distance, the farthest first, and each repeated W times: `[1, H, 1, (steps + 1)·W]`. */
  #positions: Tensor | null = null;
  #width = 0;
  #steps = 0;

  /**
   * @param prompt the encoder's input `[B, S, D]`
   * @param promptMask `[B, S]`, 0 for padding; null: none
   */
  constructor(model: T5ForConditionalGeneration, prompt: Tensor, promptMask: Tensor | null) {
    this.#model = model;
    this.#prompt = keep(prompt.alias());
    this.#promptMask = promptMask === null ? null : keep(promptMask.alias());
    this.batch = prompt.size(0);
  }

  prefill(width: number, steps: number): Tensor {
    const { config, decoder } = this.#model;
    const { device } = this.#prompt;
    const positions = decoder.pastBias(steps + 1);
    this.#width = width;
    this.#positions = keep(width === 1 ? positions : positions.repeatInterleave(width, 3));
    this.#encode(positions.dtype);
    this.#cache = new KeyValueCache({
      layers: config.numDecoderLayers,
      heads: config.numHeads,
      headDim: config.dKv,
      batch: this.batch,
      prompt: 1,
      width,
      steps,
      dtype: positions.dtype,
      device,
      promptMask: null,
    });
    const { written } = this.#cache.beginPrompt();
    const start = full([this.batch, 1], config.decoderStartTokenId, { dtype: 'int64', device });
    // The start token sees itself alone: one key, to which a summand is nothing.
    const hidden = this.#run(start, (i) => ({
      bias: null,
      write: written[i] as Tensor,
      read: null,
    }));
    return this.#model.project(hidden.select(1, 0));
  }

  #encode(dtype: Tensor['dtype']): void {
    const mask = this.#promptMask;
    const bias = mask === null ? null : keep(paddingMask(mask, dtype));
    this.#crossBias = bias;
    this.#cross = scope(() => {
      const encoded = this.#model.encode(this.#prompt, mask);
      return this.#model.decoder.block.map((_, block) => {
        const { keys, values } = this.#model.crossKeyValues(encoded, block);
        return { keys: keep(keys.contiguous()), values: keep(values.contiguous()), bias };
      });
    });
  }

  step(tokens: Tensor, parents: Tensor | null): Tensor {
    const cache = this.#cache as KeyValueCache;
    const { written, keys, values, mask } = cache.beginStep(parents);
    this.#steps++;
    // The start token has one column, every later position W: the table's last (steps + 1)·W, less all but one of the start token's.
    const table = this.#positions as Tensor;
    const length = 1 + this.#steps * this.#width;
    const past = table.narrow(3, table.size(3) - length, length);
    const bias = mask === null ? past : past.add(mask);
    const hidden = this.#run(tokens, (i) => ({
      bias,
      write: written[i] as Tensor,
      read: { keys: keys[i] as Tensor, values: values[i] as Tensor },
    }));
    return this.#model.project(hidden);
  }

  rewind(): void {
    this.#cache?.rewind();
    this.#steps = 0;
  }

  /** Tokens `[B, L]` → decoder outputs `[B, L, D]`. */
  #run(tokens: Tensor, self: (block: number) => SelfContext): Tensor {
    const { decoder } = this.#model;
    const hidden = decoder.forward(this.#model.embed(tokens), self, (block) => this.#cross[block] as CrossContext);
    return this.#model.scaled(hidden);
  }

  dispose(): void {
    for (const { keys, values } of this.#cross) {
      keys.dispose();
      values.dispose();
    }
    for (const kept of [this.#prompt, this.#promptMask, this.#crossBias, this.#positions]) kept?.dispose();
    this.#cache?.dispose();
  }
}
