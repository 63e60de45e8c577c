// B batch, Q queries, L text length, N image tokens, P earlier positions, D hidden, H heads, E = D / H.

import { anObject, checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { additiveMask, Dropout, LayerNorm, Module } from '../../nn/index.ts';
import { checkOptionalTensors, checkTensors } from '../../tensor/base.ts';
import type { Tensor } from '../../tensor/index.ts';
import { append, extend, type KeyValue, type KeyValueSlot } from './attention.ts';
import type { QFormerConfig } from './config.ts';
import { QFormerLayer, type SharedKeyValue } from './layer.ts';
import type { Packing } from './packing.ts';
import { join, type Stream, type Wanted } from './stream.ts';

export type { KeyValue, KeyValueSlot } from './attention.ts';

/** Keys and values of the picture, one entry a layer; undefined in layers without cross-attention. */
export type CrossKeyValues = readonly (KeyValue | undefined)[];

/** Keys and values of P pictures, each of which serves `share` rows that follow one another. */
export interface SharedPictures {
  /** Of all P pictures. */
  readonly keyValues: CrossKeyValues;
  /** Rows that each of them serves. */
  readonly share: number;
}

/** What a pass of the Q-Former works on: queries, text, or both. */
export interface QFormerInputs {
  /** `[B, Q, D]`, or `[1, Q, D]` for the same queries in every row. */
  queryEmbeds?: Tensor | undefined;
  /** Words and positions (see `QFormerEmbeddings`), `[B, L, D]`, or with `packing` `[T, D]`. */
  textEmbeds?: Tensor | undefined;
  /** Where the text comes without its padding. */
  packing?: Packing | undefined;
  /** Of the self-attention: one of `masks.ts`, or none where all see all. */
  attentionMask?: Tensor | null | undefined;
  /** The picture's features `[B, N, encoder width]`; needed where there are queries. */
  encoderHiddenStates?: Tensor | undefined;
  /** Instead of them, their keys and values (see {@link QFormerModel.crossKeyValues}). */
  encoderKeyValues?: CrossKeyValues | undefined;
  /** Or those of pictures that several rows share; together they serve every row, in order. */
  sharedPictures?: readonly SharedPictures[] | undefined;
  /** What an earlier pass with `cache` returned: the positions before these. */
  pastKeyValues?: readonly KeyValue[] | undefined;
  /** Instead of them, one place a layer in a cache that has them already. */
  slots?: readonly KeyValueSlot[] | undefined;
  /** Returns each layer's self-attention keys and values, those of earlier positions included. */
  cache?: boolean;
  /** What the last layer has to compute: all (unless told), the queries alone, or each row's first position. */
  wanted?: Wanted;
}

/** What {@link QFormerModel.encode} gives. */
export interface QFormerStreams {
  /** `[B, Q, D]`; null where there are none, or none are wanted. */
  queries: Tensor | null;
  /** `[B, L, D]`, or with `packing` `[T, D]`; of the first position alone `[B, 1, D]`. */
  text: Tensor | null;
  /** With `cache`, one entry a layer, `[B, H, P + Q + L, E]`. */
  keyValues?: KeyValue[];
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
  /** What it was built from. */
  readonly config: QFormerConfig;
  /** Over queries and text, before the first layer. */
  readonly layernorm: LayerNorm;
  /** After that norm. */
  readonly dropout: Dropout;
  /** The layers, as `encoder.layer`. */
  readonly encoder: QFormerEncoder;

  constructor(config: QFormerConfig) {
    super();
    checkArgument('config', config, having('hiddenSize'));
    this.config = config;
    this.layernorm = new LayerNorm(config.hiddenSize, { eps: config.layerNormEps });
    this.dropout = new Dropout(config.hiddenDropoutProb);
    this.encoder = new QFormerEncoder(config);
  }

  /**
   * One pass, queries and text in one tensor. Works in the dtype of its own parameters, whatever that of the inputs.
   * @throws ArgumentError where there is neither query nor text, text that this Q-Former has no blocks for, or queries without a picture
   */
  forward(inputs: QFormerInputs): QFormerOutput {
    const { queries, text, keyValues } = this.encode(inputs);
    const lastHiddenState = join({ queries, text, packing: null });
    if (queries !== null && text !== null) {
      queries.dispose();
      text.dispose();
    }
    return keyValues === undefined ? { lastHiddenState } : { lastHiddenState, keyValues };
  }

  /** The same, queries and text apart, and text packed as it came. */
  encode(inputs: QFormerInputs): QFormerStreams {
    checkArgument('inputs', inputs, anObject);
    const { encoderKeyValues, cache = false, wanted = 'all' } = inputs;
    const { queryEmbeds, textEmbeds, attentionMask, encoderHiddenStates } = inputs;
    checkOptionalTensors({ queryEmbeds, textEmbeds, attentionMask, encoderHiddenStates });
    const { dtype } = this.layernorm.weight as Tensor;
    const mask = inputs.attentionMask == null ? null : additiveMask(inputs.attentionMask, dtype); // for all layers at once
    const shared = inputs.sharedPictures ?? (encoderKeyValues && [{ keyValues: encoderKeyValues, share: 1 }]);
    const image = shared === undefined ? inputs.encoderHiddenStates?.to(dtype) : undefined;
    let stream = this.#embed(inputs, batchOf(inputs), dtype);
    const keyValues: KeyValue[] = [];
    const last = this.encoder.layer.length - 1;
    for (const [i, layer] of this.encoder.layer.entries()) {
      const next = layer.forward(stream, {
        mask,
        image,
        pictures: shared && picturesOf(shared, i),
        extend: extension(inputs, i),
        cache,
        wanted: i === last ? wanted : 'all',
      });
      stream.queries?.dispose();
      stream.text?.dispose();
      stream = next.stream;
      if (next.keyValue !== undefined) keyValues.push(next.keyValue);
    }
    const { queries, text } = stream;
    return cache ? { queries, text, keyValues } : { queries, text };
  }

  /** Keys and values of pictures `[B, N, encoder width]` for every cross-attention: for several passes over the same pictures. */
  crossKeyValues(image: Tensor): CrossKeyValues {
    checkTensors({ image });
    const features = image.to((this.layernorm.weight as Tensor).dtype);
    return this.encoder.layer.map((layer) => layer.crossattention?.attention.keyValue(features));
  }

  /** One LayerNorm and dropout for queries and text. */
  #embed({ queryEmbeds, textEmbeds, packing }: QFormerInputs, batch: number, dtype: Tensor['dtype']): Stream {
    if (queryEmbeds === undefined && textEmbeds === undefined) {
      throw new ArgumentError('inputs', 'queryEmbeds, textEmbeds or both', 'neither');
    }
    const spread = (x: Tensor): Tensor => (x.size(0) === batch ? x : x.expand(batch, -1, -1));
    const norm = (x: Tensor): Tensor => this.layernorm.forward(x.to(dtype));
    return {
      queries: queryEmbeds === undefined ? null : this.dropout.forward(spread(norm(queryEmbeds))),
      text: textEmbeds === undefined ? null : this.dropout.forward(norm(textEmbeds)),
      packing: packing ?? null,
    };
  }
}

/** How one layer gets at the positions before the pass's own. */
function extension({ pastKeyValues, slots }: QFormerInputs, layer: number): ((own: KeyValue) => KeyValue) | undefined {
  const slot = slots?.[layer];
  if (slot !== undefined) return (own) => append(slot, own);
  const past = pastKeyValues?.[layer];
  return past && ((own) => extend(past, own));
}

/** What one layer attends to; undefined in a layer without cross-attention. */
function picturesOf(shared: readonly SharedPictures[], layer: number): SharedKeyValue[] | undefined {
  const found = shared.flatMap(({ keyValues, share }) => {
    const keyValue = keyValues[layer];
    return keyValue === undefined ? [] : [{ keyValue, share }];
  });
  return found.length === 0 ? undefined : found;
}

/** The batch that single queries are repeated for. */
function batchOf({ queryEmbeds, textEmbeds, packing, encoderHiddenStates, ...keyValues }: QFormerInputs): number {
  if (packing !== undefined) return packing.rows;
  const { encoderKeyValues, sharedPictures } = keyValues;
  if (sharedPictures !== undefined)
    return sharedPictures.reduce((sum, { keyValues, share }) => sum + share * rowsOf(keyValues), 0);
  const given = textEmbeds ?? encoderHiddenStates;
  if (given !== undefined) return given.size(0);
  return encoderKeyValues === undefined ? (queryEmbeds?.size(0) ?? 0) : rowsOf(encoderKeyValues);
}

function rowsOf(keyValues: CrossKeyValues): number {
  return keyValues.find((layer) => layer !== undefined)?.key.size(0) ?? 0;
}
