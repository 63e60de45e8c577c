// B batch, Lq and Lk lengths of what asks and what answers, D hidden, H heads, E = D / H.
import { attention, Dropout, initNormal, LayerNorm, Linear, Module } from '../../nn/index.ts';
import { cat, type Tensor } from '../../tensor/index.ts';
import type { QFormerConfig } from './config.ts';

/** Keys and values of one attention, `[B, H, Lk, E]` each. */
export interface KeyValue {
  /** `[B, H, Lk, E]` */
  readonly key: Tensor;
  /** `[B, H, Lk, E]` */
  readonly value: Tensor;
}

/** LN(dropout(dense(x)) + residual): the end of each of BERT's sublayers. */
export class SublayerOutput extends Module {
  readonly dense: Linear;
  readonly LayerNorm: LayerNorm;
  readonly dropout: Dropout;

  constructor(config: QFormerConfig, inner: number) {
    super();
    this.dense = new Linear(inner, config.hiddenSize, { init: initNormal(config.initializerRange) });
    this.LayerNorm = new LayerNorm(config.hiddenSize, { eps: config.layerNormEps });
    this.dropout = new Dropout(config.hiddenDropoutProb);
  }

  forward(x: Tensor, residual: Tensor): Tensor {
    return this.LayerNorm.forward(this.dropout.forward(this.dense.forward(x)).add(residual));
  }
}

/** The three projections and the attention between them. */
export class QFormerHeads extends Module {
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly #heads: number;
  readonly #dropout: number;

  /** @param source width of what keys and values come from */
  constructor(config: QFormerConfig, source: number) {
    super();
    const init = initNormal(config.initializerRange);
    this.query = new Linear(config.hiddenSize, config.hiddenSize, { init });
    this.key = new Linear(source, config.hiddenSize, { init });
    this.value = new Linear(source, config.hiddenSize, { init });
    this.#heads = config.numAttentionHeads;
    this.#dropout = config.attentionProbsDropoutProb;
  }

  /** Keys and values of `[B, Lk, source]`, views of what the projections give. */
  keyValue(x: Tensor): KeyValue {
    return { key: this.split(this.key.forward(x)), value: this.split(this.value.forward(x)) };
  }

  /** `[B, H, Lq, E]` over the given keys and values → the same. */
  attend(query: Tensor, { key, value }: KeyValue, mask: Tensor | null): Tensor {
    return attention(query, key, value, { mask, dropout: this.training ? this.#dropout : 0 });
  }

  /** `[B, L, D]` → `[B, H, L, E]`, a view. */
  split(x: Tensor): Tensor {
    return x.view(x.size(0), x.size(1), this.#heads, -1).transpose(1, 2);
  }
}

/** `[B, H, L, E]` → `[B, L, D]`. */
export function merge(x: Tensor): Tensor {
  return x.transpose(1, 2).flatten(2);
}

/** Attention with residual and LayerNorm: self-attention, or, with a source of its own, cross-attention. */
export class QFormerAttention extends Module {
  readonly attention: QFormerHeads;
  readonly output: SublayerOutput;

  constructor(config: QFormerConfig, source = config.hiddenSize) {
    super();
    this.attention = new QFormerHeads(config, source);
    this.output = new SublayerOutput(config, config.hiddenSize);
  }
}

/** Where a pass writes its keys and values, and what it then attends to: a part of a cache up to and with what is written. */
export interface KeyValueSlot {
  /** Where the pass's own go, `[B, H, Lq, E]` each. */
  readonly write: KeyValue;
  /** All up to and with them, `[B, H, Lk, E]` each. */
  readonly read: KeyValue;
}

/** Writes new positions behind earlier ones, and returns all. */
export function append({ write, read }: KeyValueSlot, own: KeyValue): KeyValue {
  write.key.copy_(own.key);
  write.value.copy_(own.value);
  return read;
}

/** Earlier positions in front of new ones. */
export function extend(past: KeyValue, next: KeyValue): KeyValue {
  return { key: cat([past.key, next.key], 2), value: cat([past.value, next.value], 2) };
}
