import type { Rewindable } from '../../generate/decodable.ts';
import { KeyValueCache } from '../../nn/index.ts';
import { keep, ones, type Tensor } from '../../tensor/index.ts';
import type { Projection } from './attention.ts';
import type { OptForCausalLM } from './model.ts';
import { causalMask, positionsOf } from './positions.ts';

/** Width up to which starting an operator takes longer than a row's product, so that one for all three projections is worth its copy. */
const SMALL = 256;

/** Decodes with OPT from an embedded prompt; the continuations of a prompt share its cached keys and values. */
export class OptDecoding implements Rewindable {
  readonly batch: number;
  readonly room: number;
  readonly #model: OptForCausalLM;
  readonly #prompt: Tensor;
  readonly #promptMask: Tensor | null;
  #cache: KeyValueCache | null = null;
  /** Position of the next token, `[B, 1]`. */
  #next: Tensor | null = null;
  #steps = 0;
  /** Of each layer of a small model. */
  #projections: readonly Projection[] = [];

  /**
   * @param prompt `[B, P, E]`
   * @param promptMask `[B, P]`, 0 for padding; null: none
   */
  constructor(model: OptForCausalLM, prompt: Tensor, promptMask: Tensor | null) {
    this.#model = model;
    this.#prompt = keep(prompt.alias());
    this.#promptMask = promptMask === null ? null : keep(promptMask.alias());
    this.batch = prompt.size(0);
    this.room = Math.max(0, model.config.maxPositionEmbeddings - prompt.size(1));
  }

  prefill(width: number, steps: number): Tensor {
    const { config, model } = this.#model;
    const prompt = this.#prompt;
    const mask = this.#promptMask;
    const length = prompt.size(1);
    this.#cache = new KeyValueCache({
      layers: config.numHiddenLayers,
      heads: config.numAttentionHeads,
      headDim: config.hiddenSize / config.numAttentionHeads,
      batch: this.batch,
      prompt: length,
      width,
      steps,
      dtype: prompt.dtype,
      device: prompt.device,
      promptMask: mask,
    });
    const { written } = this.#cache.beginPrompt();
    const counted = positionsOf(mask ?? ones([this.batch, length], { dtype: 'int64', device: prompt.device }));
    // Padding's position does not matter; a table has no row before the first.
    const positions = counted.clamp(0);
    this.#next = keep(counted.amax(1, true).add(1));
    const attended = mask === null ? null : causalMask(mask, prompt.dtype);
    const hidden = model.decoder.forward(prompt, {
      positions,
      context: (i) => ({
        mask: attended,
        causal: attended === null,
        write: written[i] as Tensor,
        read: null,
      }),
    });
    if (config.hiddenSize <= SMALL) this.#projections = model.decoder.layers.map(({ selfAttn }) => kept(selfAttn.together()));
    return this.#model.project(hidden.select(1, length - 1));
  }

  step(tokens: Tensor, parents: Tensor | null): Tensor {
    const cache = this.#cache as KeyValueCache;
    const next = this.#next as Tensor;
    const { written, keys, values, mask } = cache.beginStep(parents);
    const hidden = this.#model.model.decoder.forward(this.#model.embed(tokens), {
      positions: next,
      context: (i) => ({
        mask,
        causal: false,
        write: written[i] as Tensor,
        read: { keys: keys[i] as Tensor, values: values[i] as Tensor },
        projection: this.#projections[i] ?? null,
      }),
    });
    next.add_(1);
    this.#steps++;
    return this.#model.project(hidden);
  }

  rewind(): void {
    this.#cache?.rewind();
    this.#next?.sub_(this.#steps);
    this.#steps = 0;
  }

  dispose(): void {
    this.#prompt.dispose();
    this.#promptMask?.dispose();
    this.#cache?.dispose();
    this.#next?.dispose();
    for (const { weight, bias } of this.#projections) {
      weight.dispose();
      bias?.dispose();
    }
  }
}

function kept({ weight, bias }: Projection): Projection {
  keep(weight);
  if (bias !== null) keep(bias);
  return { weight, bias };
}
