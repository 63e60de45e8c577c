import { checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { shown } from '../../native/fields.ts';
import { Dropout, Embedding, initNormal, Linear, Module, RMSNorm } from '../../nn/index.ts';
import { checkOptionalTensors, checkTensors } from '../../tensor/base.ts';
import { embedding, linear, scope, type Tensor } from '../../tensor/index.ts';
import { type KeyValues, T5Attention } from './attention.ts';
import type { T5Config } from './config.ts';
import { feedForward, type T5FeedForward } from './feed-forward.ts';
import { type Bucketing, bucketing, causalMask, paddingMask, pastBias, positionBias } from './positions.ts';

// B batch, S length of the encoder's input, T length of the decoder's, D model width, H heads, K width of a head, V vocabulary

/** What a block's self-attention attends to besides, or instead of, its own keys and values. */
export interface SelfContext {
  /** Added to the scores; null: nothing. */
  bias: Tensor | null;
  /** Where the new keys and behind them the new values are written, `[2, B, H, L, K]`; null: nowhere. */
  write: Tensor | null;
  /** What is attended to, once they are written; null: the new ones alone. */
  read: KeyValues | null;
}

/** What a block's cross-attention attends to. */
export interface CrossContext extends KeyValues {
  /** Added to the scores `[B, 1, 1, S]`; null: nothing. */
  bias: Tensor | null;
}

/** x + SelfAttention(norm(x)) */
export class T5LayerSelfAttention extends Module {
  readonly SelfAttention: T5Attention;
  readonly layerNorm: RMSNorm;
  readonly dropout: Dropout;

  constructor(config: T5Config, hasRelativeAttentionBias: boolean) {
    super();
    this.SelfAttention = new T5Attention(config, hasRelativeAttentionBias);
    this.layerNorm = norm(config);
    this.dropout = new Dropout(config.dropoutRate);
  }

  forward(x: Tensor, { bias, write, read }: SelfContext): Tensor {
    const normed = this.layerNorm.forward(x);
    const own = this.SelfAttention.keyValues(normed);
    write?.select(0, 0).copy_(own.keys);
    write?.select(0, 1).copy_(own.values);
    return x.add(this.dropout.forward(this.SelfAttention.attend(normed, read ?? own, bias)));
  }
}

/** x + EncDecAttention(norm(x), encoder) */
export class T5LayerCrossAttention extends Module {
  readonly EncDecAttention: T5Attention;
  readonly layerNorm: RMSNorm;
  readonly dropout: Dropout;

  constructor(config: T5Config) {
    super();
    this.EncDecAttention = new T5Attention(config, false);
    this.layerNorm = norm(config);
    this.dropout = new Dropout(config.dropoutRate);
  }

  forward(x: Tensor, context: CrossContext): Tensor {
    const attended = this.EncDecAttention.attend(this.layerNorm.forward(x), context, context.bias);
    return x.add(this.dropout.forward(attended));
  }
}

/** x + DenseReluDense(norm(x)) */
export class T5LayerFF extends Module {
  readonly DenseReluDense: T5FeedForward;
  readonly layerNorm: RMSNorm;
  readonly dropout: Dropout;

  constructor(config: T5Config) {
    super();
    this.DenseReluDense = feedForward(config);
    this.layerNorm = norm(config);
    this.dropout = new Dropout(config.dropoutRate);
  }

  forward(x: Tensor): Tensor {
    return x.add(this.dropout.forward(this.DenseReluDense.forward(this.layerNorm.forward(x))));
  }
}

/** Self-attention, in a decoder cross-attention, and a feed-forward network. */
export class T5Block extends Module {
  readonly layer: readonly [T5LayerSelfAttention, T5LayerFF] | readonly [T5LayerSelfAttention, T5LayerCrossAttention, T5LayerFF];

  constructor(config: T5Config, isDecoder: boolean, isFirst: boolean) {
    super();
    const self = new T5LayerSelfAttention(config, isFirst);
    this.layer = isDecoder ? [self, new T5LayerCrossAttention(config), new T5LayerFF(config)] : [self, new T5LayerFF(config)];
  }

  /** x `[B, L, D]` → `[B, L, D]` */
  forward(x: Tensor, self: SelfContext, cross: CrossContext | null): Tensor {
    return scope(() => {
      const [first, ...rest] = this.layer;
      let y = clamped(first.forward(x, self));
      for (const layer of rest) {
        y = clamped(layer instanceof T5LayerFF ? layer.forward(y) : layer.forward(y, cross as CrossContext));
      }
      return y;
    });
  }
}

/** Blocks and the last norm: the encoder, or the decoder. */
export class T5Stack extends Module {
  readonly block: readonly T5Block[];
  readonly finalLayerNorm: RMSNorm;
  readonly dropout: Dropout;
  readonly #bucketing: Bucketing;

  constructor(config: T5Config, isDecoder: boolean) {
    super();
    const length = isDecoder ? config.numDecoderLayers : config.numLayers;
    this.block = Array.from({ length }, (_, i) => new T5Block(config, isDecoder, i === 0));
    this.finalLayerNorm = norm(config);
    this.dropout = new Dropout(config.dropoutRate);
    this.#bucketing = bucketing(config, !isDecoder);
  }

  /** The summand of all blocks' scores that tells how far apart two tokens are, `[1, H, queries, keys]`. */
  positionBias(queries: number, keys: number): Tensor {
    return positionBias(this.#table(), queries, keys, this.#bucketing);
  }

  /** Its part for one query and the `keys` up to itself, `[1, H, 1, keys]`. */
  pastBias(keys: number): Tensor {
    return pastBias(this.#table(), keys, this.#bucketing);
  }

  #table(): Tensor {
    const [first] = this.block as readonly [T5Block];
    return (first.layer[0].SelfAttention.relativeAttentionBias as Embedding).weight;
  }

  /** inputsEmbeds `[B, L, D]` → `[B, L, D]`; contexts by block. */
  forward(inputsEmbeds: Tensor, self: (block: number) => SelfContext, cross?: (block: number) => CrossContext): Tensor {
    let hidden = this.dropout.forward(inputsEmbeds);
    for (const [i, block] of this.block.entries()) {
      const next = block.forward(hidden, self(i), cross?.(i) ?? null);
      // What gradients need, their graph keeps.
      if (hidden !== inputsEmbeds) hidden.dispose();
      hidden = next;
    }
    return this.dropout.forward(this.finalLayerNorm.forward(hidden));
  }
}

/**
 * T5 (Raffel et al. 2020), its v1.1 and Flan-T5: an encoder-decoder transformer with relative positions. The output table is the word
 * embedding itself when `tieWordEmbeddings`; a checkpoint then has no `lm_head.weight`.
 */
export class T5ForConditionalGeneration extends Module {
  /** The table of words `[V, E]`, of encoder and decoder. */
  readonly shared: Embedding;
  /** Reads the prompt, both ways. */
  readonly encoder: T5Stack;
  /** Writes, attending to what the encoder gave. */
  readonly decoder: T5Stack;
  /** The output table `[V, E]`; null where it is the table of words. */
  readonly lmHead: Linear | null;
  readonly #config: T5Config;

  constructor(config: T5Config) {
    super();
    checkArgument('config', config, having('dModel', 'denseActFn'));
    const { vocabSize, dModel, initializerFactor } = config;
    const init = initNormal(initializerFactor);
    this.#config = config;
    this.shared = new Embedding(vocabSize, dModel, { init });
    this.encoder = new T5Stack(config, false);
    this.decoder = new T5Stack(config, true);
    this.lmHead = config.tieWordEmbeddings ? null : new Linear(dModel, vocabSize, { bias: false, init });
  }

  /** What it was built from. */
  get config(): T5Config {
    return this.#config;
  }

  /** The output table `[V, D]`, of which {@link project} makes logits. */
  get outputWeight(): Tensor {
    return this.lmHead === null ? this.shared.weight : this.lmHead.weight;
  }

  /** Word embeddings of ids `[…]` → `[…, D]`. */
  embed(inputIds: Tensor): Tensor {
    return embedding(this.shared.weight, inputIds);
  }

  /** Logits of decoder outputs `[…, D]` → `[…, V]`. */
  project(hidden: Tensor): Tensor {
    return linear(hidden, this.outputWeight);
  }

  /**
   * @param inputsEmbeds `[B, S, D]`
   * @param attentionMask `[B, S]`, 0 for padding, which may be anywhere; null: none. Positions count padding too.
   * @returns encoder outputs `[B, S, D]`
   */
  encode(inputsEmbeds: Tensor, attentionMask: Tensor | null = null): Tensor {
    checkTensors({ inputsEmbeds });
    checkOptionalTensors({ attentionMask });
    return scope(() => {
      const length = inputsEmbeds.size(1);
      const positions = this.encoder.positionBias(length, length);
      const bias = attentionMask === null ? positions : positions.add(paddingMask(attentionMask, positions.dtype));
      const context: SelfContext = { bias, write: null, read: null };
      return this.encoder.forward(inputsEmbeds, () => context);
    });
  }

  /**
   * @param decoderInputIds `[B, T]`, the start token first; position i sees positions ≤ i
   * @param encoded `[B, S, D]`, what {@link encode} gave
   * @param attentionMask the encoder's `[B, S]`, or null
   * @param decoderAttentionMask `[B, T]`, 0 for padding that is not at the end; none unless told
   * @returns decoder outputs `[B, T, D]`, scaled where the configuration says so; {@link project} makes logits of them
   */
  decode(
    decoderInputIds: Tensor,
    encoded: Tensor,
    attentionMask: Tensor | null = null,
    decoderAttentionMask: Tensor | null = null,
  ): Tensor {
    checkTensors({ decoderInputIds, encoded });
    checkOptionalTensors({ attentionMask, decoderAttentionMask });
    return scope(() => {
      const length = decoderInputIds.size(1);
      const positions = this.decoder.positionBias(length, length);
      const { dtype, device } = positions;
      const causal = positions.add(causalMask(length, dtype, device));
      const bias = decoderAttentionMask === null ? causal : causal.add(paddingMask(decoderAttentionMask, dtype));
      const self: SelfContext = { bias, write: null, read: null };
      const padding = attentionMask === null ? null : paddingMask(attentionMask, dtype);
      const hidden = this.decoder.forward(
        this.embed(decoderInputIds),
        () => self,
        (block) => ({ ...this.crossKeyValues(encoded, block), bias: padding }),
      );
      return this.scaled(hidden);
    });
  }

  /**
   * Encoder and decoder, with the text given (teacher forcing).
   * @returns decoder outputs `[B, T, D]`
   */
  forward(inputsEmbeds: Tensor, attentionMask: Tensor | null, decoderInputIds: Tensor): Tensor {
    return this.decode(decoderInputIds, this.encode(inputsEmbeds, attentionMask), attentionMask);
  }

  /**
   * What the decoder is given to predict `labels` `[B, T]`: each token's predecessor, the start token first, and padding where nothing is to
   * be predicted (−100).
   */
  shiftRight(labels: Tensor): Tensor {
    checkTensors({ labels });
    const { decoderStartTokenId, padTokenId } = this.#config;
    return scope(() => {
      const before = labels.narrow(1, 0, labels.size(1) - 1).pad([1, 0], decoderStartTokenId);
      return before.maskedFill(before.eq(-100), padTokenId);
    });
  }

  /** Keys and values that a block's cross-attention reads of encoder outputs `[B, S, D]`. */
  crossKeyValues(encoded: Tensor, block: number): KeyValues {
    const [, cross] = this.decoder.block[block]?.layer ?? [];
    if (cross === undefined) throw new ArgumentError('block', `a block from 0 to ${this.decoder.block.length - 1}`, shown(block));
    return (cross as T5LayerCrossAttention).EncDecAttention.keyValues(encoded);
  }

  /** The first T5 scales the decoder's output, as its output table is the word embedding. */
  scaled(hidden: Tensor): Tensor {
    checkTensors({ hidden });
    const { dModel, scaleDecoderOutputs } = this.#config;
    return scaleDecoderOutputs ? hidden.mul(dModel ** -0.5) : hidden;
  }
}

function norm(config: T5Config): RMSNorm {
  const { dModel, layerNormEpsilon: eps, initializerFactor } = config;
  return new RMSNorm(dModel, { eps, init: (weight) => void weight.fill_(initializerFactor) });
}

/** Greatest number in float16, and where its infinities are put. */
const [FLOAT16_MAX, FLOAT16_CLAMP] = [65504, 64504];

/** In float16, infinities become finite, as in Hugging Face: at the greatest number less 1000, as then is what lies beyond that. */
function clamped(x: Tensor): Tensor {
  if (x.dtype !== 'float16') return x;
  const most = x
    .isinf()
    .any()
    .float()
    .mul(FLOAT16_CLAMP - FLOAT16_MAX)
    .add(FLOAT16_MAX)
    .to('float16');
  return x.minimum(most).maximum(most.neg());
}
