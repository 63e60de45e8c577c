// B batch, Q queries, L text length, N image tokens, P earlier positions, D hidden, H heads, E = D / H.
import { ArgumentError } from '../../native/errors.ts';
import { additiveMask, Dropout, LayerNorm, Module } from '../../nn/index.ts';
import { cat, type Tensor } from '../../tensor/index.ts';
import type { KeyValue } from './attention.ts';
import type { QFormerConfig } from './config.ts';
import { QFormerLayer } from './layer.ts';

export type { KeyValue } from './attention.ts';

/** Keys and values of the picture, one entry a layer; undefined in layers without cross-attention. */
export type CrossKeyValues = readonly (KeyValue | undefined)[];

/** What a pass of the Q-Former works on: queries, text, or both. */
export interface QFormerInputs {
  /** `[B, Q, D]`, or `[1, Q, D]` for the same queries in every row. */
  queryEmbeds?: Tensor | undefined;
  /** Words and positions (see `QFormerEmbeddings`), `[B, L, D]`. */
  textEmbeds?: Tensor | undefined;
  /** Of the self-attention: one of `masks.ts`, or none where all see all. */
  attentionMask?: Tensor | null | undefined;
  /** The picture's features `[B, N, encoder width]`; needed where there are queries. */
  encoderHiddenStates?: Tensor | undefined;
  /** Instead of them, their keys and values (see {@link QFormerModel.crossKeyValues}). */
  encoderKeyValues?: CrossKeyValues | undefined;
  /** What an earlier pass with `cache` returned: the positions before these. */
  pastKeyValues?: readonly KeyValue[] | undefined;
  /** Returns each layer's self-attention keys and values, those of earlier positions included. */
  cache?: boolean;
}

/** What {@link QFormerModel.forward} gives. */
export interface QFormerOutput {
  /** `[B, Q + L, D]`, queries first. */
  lastHiddenState: Tensor;
  /** With `cache`, one entry a layer, `[B, H, P + Q + L, E]`. */
  keyValues?: KeyValue[];
}

/** The layers. */
class QFormerEncoder extends Module {
  readonly layer: readonly QFormerLayer[];

  constructor(config: QFormerConfig) {
    super();
    this.layer = Array.from({ length: config.numHiddenLayers }, (_, index) => new QFormerLayer(config, index));
  }
}

/**
 * The querying transformer (BLIP-2, §3.1): learned queries attend to each other, to the text beside them as the mask allows, and in every
 * n-th layer to a frozen picture encoder. Parameters are named as in Hugging Face's `qformer.`.
 */
export class QFormerModel extends Module {
  readonly config: QFormerConfig;
  readonly layernorm: LayerNorm;
  readonly dropout: Dropout;
  readonly encoder: QFormerEncoder;

  constructor(config: QFormerConfig) {
    super();
    this.config = config;
    this.layernorm = new LayerNorm(config.hiddenSize, { eps: config.layerNormEps });
    this.dropout = new Dropout(config.hiddenDropoutProb);
    this.encoder = new QFormerEncoder(config);
  }

  /**
   * Works in the dtype of its own parameters, whatever that of the inputs.
   * @throws ArgumentError where there is neither query nor text, text that this Q-Former has no blocks for, or queries without a picture
   */
  forward(inputs: QFormerInputs): QFormerOutput {
    const { encoderKeyValues, pastKeyValues, cache = false } = inputs;
    const { dtype } = this.layernorm.weight as Tensor;
    const mask = inputs.attentionMask == null ? null : additiveMask(inputs.attentionMask, dtype); // for all layers at once
    const image = encoderKeyValues === undefined ? inputs.encoderHiddenStates?.to(dtype) : undefined;
    const queries = inputs.queryEmbeds?.size(1) ?? 0;
    let x = this.#embed(inputs, batchOf(inputs), dtype);
    const keyValues: KeyValue[] = [];
    for (const [i, layer] of this.encoder.layer.entries()) {
      const next = layer.forward(x, {
        queries,
        mask,
        image,
        imageKeyValue: encoderKeyValues?.[i],
        past: pastKeyValues?.[i],
        cache,
      });
      x.dispose();
      x = next.x;
      if (next.keyValue !== undefined) keyValues.push(next.keyValue);
    }
    return cache ? { lastHiddenState: x, keyValues } : { lastHiddenState: x };
  }

  /** Keys and values of pictures `[B, N, encoder width]` for every cross-attention: for several passes over the same pictures. */
  crossKeyValues(image: Tensor): CrossKeyValues {
    const features = image.to((this.layernorm.weight as Tensor).dtype);
    return this.encoder.layer.map((layer) => layer.crossattention?.attention.keyValue(features));
  }

  /** One LayerNorm and dropout over queries and text together. */
  #embed({ queryEmbeds, textEmbeds }: QFormerInputs, batch: number, dtype: Tensor['dtype']): Tensor {
    const spread = (x: Tensor): Tensor => (x.size(0) === batch ? x : x.expand(batch, -1, -1));
    const query = queryEmbeds?.to(dtype);
    if (textEmbeds === undefined) {
      if (query === undefined) throw new ArgumentError('inputs', 'queryEmbeds, textEmbeds or both', 'neither');
      return this.dropout.forward(spread(this.layernorm.forward(query)));
    }
    const text = textEmbeds.to(dtype);
    return this.dropout.forward(this.layernorm.forward(query === undefined ? text : cat([spread(query), text], 1)));
  }
}

/** The batch that single queries are repeated for. */
function batchOf({ queryEmbeds, textEmbeds, encoderHiddenStates, encoderKeyValues }: QFormerInputs): number {
  const picture = encoderHiddenStates ?? encoderKeyValues?.find((layer) => layer !== undefined)?.key;
  return (textEmbeds ?? picture ?? queryEmbeds)?.size(0) ?? 0;
}
