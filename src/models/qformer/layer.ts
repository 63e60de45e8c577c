import { ArgumentError } from '../../native/errors.ts';
import { activation, initNormal, Linear, Module } from '../../nn/index.ts';
import { cat, scope, type Tensor } from '../../tensor/index.ts';
import { extend, type KeyValue, QFormerAttention, SublayerOutput } from './attention.ts';
import type { QFormerConfig } from './config.ts';

/** act(dense(x)) */
class Intermediate extends Module {
  readonly dense: Linear;
  readonly #act: (x: Tensor) => Tensor;

  constructor(config: QFormerConfig) {
    super();
    this.dense = new Linear(config.hiddenSize, config.intermediateSize, { init: initNormal(config.initializerRange) });
    this.#act = activation(config.hiddenAct);
  }

  forward(x: Tensor): Tensor {
    return this.#act(this.dense.forward(x));
  }
}

/** What a layer works with besides its input. */
export interface LayerContext {
  /** How many of the positions, from the first, are queries. */
  readonly queries: number;
  /** Of the self-attention: added to the scores, broadcast to `[B, H, Lq, Lk]`. */
  readonly mask: Tensor | null;
  /** The picture's features `[B, N, encoder width]`, where their keys and values are not given. */
  readonly image?: Tensor | undefined;
  readonly imageKeyValue?: KeyValue | undefined;
  /** Keys and values of the self-attention at earlier positions. */
  readonly past?: KeyValue | undefined;
  /** Whether to return the self-attention's keys and values. */
  readonly cache: boolean;
}

/** One layer: self-attention over queries and text, cross-attention of the queries in some layers, and a feed-forward block for each kind. */
export class QFormerLayer extends Module {
  readonly attention: QFormerAttention;
  readonly crossattention?: QFormerAttention;
  readonly intermediate?: Intermediate;
  readonly output?: SublayerOutput;
  readonly intermediateQuery: Intermediate;
  readonly outputQuery: SublayerOutput;

  constructor(config: QFormerConfig, index: number) {
    super();
    this.attention = new QFormerAttention(config);
    if (index % config.crossAttentionFrequency === 0) {
      this.crossattention = new QFormerAttention(config, config.encoderHiddenSize);
    }
    if (config.useQformerTextInput) {
      this.intermediate = new Intermediate(config);
      this.output = new SublayerOutput(config, config.intermediateSize);
    }
    this.intermediateQuery = new Intermediate(config);
    this.outputQuery = new SublayerOutput(config, config.intermediateSize);
  }

  /** `[B, Q + L, D]` → the same, and the self-attention's keys and values where they are asked for. */
  forward(x: Tensor, context: LayerContext): { x: Tensor; keyValue?: KeyValue } {
    return scope(() => {
      const own = this.attention.attention.keyValue(x);
      const keyValue = context.past === undefined ? own : extend(context.past, own);
      const attended = this.attention.forward(x, keyValue, context.mask);
      const out = this.#feedForward(attended, context);
      return context.cache ? { x: out, keyValue } : { x: out };
    });
  }

  #feedForward(x: Tensor, context: LayerContext): Tensor {
    const { queries } = context;
    const texts = x.size(1) - queries;
    if (queries === 0) return this.#text(x);
    const asked = this.#cross(texts === 0 ? x : x.narrow(1, 0, queries), context);
    const out = this.outputQuery.forward(this.intermediateQuery.forward(asked), asked);
    return texts === 0 ? out : cat([out, this.#text(x.narrow(1, queries, texts))], 1);
  }

  #cross(queries: Tensor, { image, imageKeyValue }: LayerContext): Tensor {
    if (this.crossattention === undefined) return queries;
    const keyValue = imageKeyValue ?? (image === undefined ? undefined : this.crossattention.attention.keyValue(image));
    if (keyValue === undefined) {
      throw new ArgumentError(
        'encoderHiddenStates',
        "the picture's features, or encoderKeyValues, where there are queries",
        'neither',
      );
    }
    return this.crossattention.forward(queries, keyValue);
  }

  #text(x: Tensor): Tensor {
    if (this.intermediate === undefined || this.output === undefined) {
      throw new ArgumentError(
        'textEmbeds',
        'queries only: this Q-Former takes no text (use_qformer_text_input is false)',
        'text',
      );
    }
    return this.output.forward(this.intermediate.forward(x), x);
  }
}
