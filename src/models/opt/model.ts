import { checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { activation, Dropout, Embedding, type Initializer, initNormal, LayerNorm, Linear, Module } from '../../nn/index.ts';
import { checkOptionalTensors, checkTensors } from '../../tensor/base.ts';
import { arange, linear, scope, type Tensor } from '../../tensor/index.ts';
import { type AttentionContext, OptAttention } from './attention.ts';
import type { OptConfig } from './config.ts';
import { causalMask, positionsOf } from './positions.ts';

// B batch, L length, D hidden size, E width of the word embeddings, V vocabulary

/** Row 0 and 1 of the table of positions are not used: position p is row p + 2. */
const POSITION_OFFSET = 2;

/** What a pass through the decoder is told, besides its input. */
export interface OptPass {
  /** Rows of the table of positions, `[B or 1, L]`. */
  positions: Tensor;
  /** What layer i attends to. */
  context: (layer: number) => AttentionContext;
}

/** One block: self-attention and a feed-forward network, each with a residual sum, normalised before or after it. */
export class OptDecoderLayer extends Module {
  readonly selfAttn: OptAttention;
  readonly selfAttnLayerNorm: LayerNorm;
  readonly fc1: Linear;
  readonly fc2: Linear;
  readonly finalLayerNorm: LayerNorm;
  readonly #before: boolean;
  readonly #act: (x: Tensor) => Tensor;
  readonly dropout: Dropout;

  constructor(config: OptConfig, init: Initializer) {
    super();
    const { hiddenSize, ffnDim, enableBias: bias, layerNormElementwiseAffine: affine } = config;
    const dense = (inFeatures: number, outFeatures: number): Linear => new Linear(inFeatures, outFeatures, { bias, init });
    this.selfAttn = new OptAttention(config, dense);
    this.selfAttnLayerNorm = new LayerNorm(hiddenSize, { affine });
    this.fc1 = dense(hiddenSize, ffnDim);
    this.fc2 = dense(ffnDim, hiddenSize);
    this.finalLayerNorm = new LayerNorm(hiddenSize, { affine });
    this.dropout = new Dropout(config.dropout);
    this.#before = config.doLayerNormBefore;
    this.#act = activation(config.activationFunction);
  }

  /** x `[B, L, D]` → `[B, L, D]` */
  forward(x: Tensor, context: AttentionContext): Tensor {
    // What is made on the way, and gradients do not need, is free again at the end of the block, not of the pass.
    return scope(() => {
      const before = this.#before;
      const attended = this.selfAttn.forward(before ? this.selfAttnLayerNorm.forward(x) : x, context);
      let y = x.add(this.dropout.forward(attended));
      if (!before) y = this.selfAttnLayerNorm.forward(y);
      const inner = this.#act(this.fc1.forward(before ? this.finalLayerNorm.forward(y) : y));
      y = y.add(this.dropout.forward(this.fc2.forward(inner)));
      return before ? y : this.finalLayerNorm.forward(y);
    });
  }
}

/** Embeddings, blocks and the last norm. */
export class OptDecoder extends Module {
  readonly embedTokens: Embedding;
  readonly embedPositions: Embedding;
  readonly projectIn: Linear | null;
  readonly projectOut: Linear | null;
  readonly finalLayerNorm: LayerNorm | null;
  readonly layers: readonly OptDecoderLayer[];

  constructor(config: OptConfig) {
    super();
    const { hiddenSize, wordEmbedProjDim, layerNormElementwiseAffine: affine } = config;
    const init = initNormal(config.initStd);
    const projected = wordEmbedProjDim !== hiddenSize;
    this.embedTokens = new Embedding(config.vocabSize, wordEmbedProjDim, { init });
    this.embedPositions = new Embedding(config.maxPositionEmbeddings + POSITION_OFFSET, hiddenSize, { init });
    this.projectIn = projected ? new Linear(wordEmbedProjDim, hiddenSize, { bias: false, init }) : null;
    this.projectOut = projected ? new Linear(hiddenSize, wordEmbedProjDim, { bias: false, init }) : null;
    this.finalLayerNorm = config.doLayerNormBefore && !config.removeFinalLayerNorm ? new LayerNorm(hiddenSize, { affine }) : null;
    this.layers = Array.from({ length: config.numHiddenLayers }, () => new OptDecoderLayer(config, init));
  }

  /** inputsEmbeds `[B, L, E]` → `[B, L, E]`, ready for the output embedding. */
  forward(inputsEmbeds: Tensor, pass: OptPass): Tensor {
    const x = this.projectIn === null ? inputsEmbeds : this.projectIn.forward(inputsEmbeds);
    let hidden = x.add(this.embedPositions.forward(pass.positions.add(POSITION_OFFSET)));
    for (const [i, layer] of this.layers.entries()) hidden = layer.forward(hidden, pass.context(i));
    if (this.finalLayerNorm !== null) hidden = this.finalLayerNorm.forward(hidden);
    return this.projectOut === null ? hidden : this.projectOut.forward(hidden);
  }
}

/** Holds the decoder, so that its weights are named `model.decoder.…`. */
class OptModel extends Module {
  readonly decoder: OptDecoder;

  constructor(config: OptConfig) {
    super();
    this.decoder = new OptDecoder(config);
  }
}

/**
 * OPT (Zhang et al. 2022): a decoder-only transformer. The output embedding is the word embedding itself when
 * `tieWordEmbeddings`; a checkpoint then has no `lm_head.weight`.
 */
export class OptForCausalLM extends Module {
  /** Embeddings, blocks and the last norm, as `model.decoder`. */
  readonly model: OptModel;
  /** The output table `[V, E]`; null where it is the table of words. */
  readonly lmHead: Linear | null;
  readonly #config: OptConfig;

  constructor(config: OptConfig) {
    super();
    checkArgument('config', config, having('hiddenSize'));
    this.#config = config;
    this.model = new OptModel(config);
    this.lmHead = config.tieWordEmbeddings
      ? null
      : new Linear(config.wordEmbedProjDim, config.vocabSize, { bias: false, init: initNormal(config.initStd) });
  }

  /** What it was built from. */
  get config(): OptConfig {
    return this.#config;
  }

  /** Word embeddings of ids `[…]` → `[…, E]`. */
  embed(inputIds: Tensor): Tensor {
    return this.model.decoder.embedTokens.forward(inputIds);
  }

  /** The output table `[V, E]`, of which {@link project} makes logits. */
  get outputWeight(): Tensor {
    return this.lmHead === null ? this.model.decoder.embedTokens.weight : this.lmHead.weight;
  }

  /** Logits of decoder outputs `[…, E]` → `[…, V]`. */
  project(hidden: Tensor): Tensor {
    return linear(hidden, this.outputWeight);
  }

  /**
   * @param inputsEmbeds `[B, L, E]`
   * @param attentionMask `[B, L]`, 0 for padding; null: none. Positions count what is not padding.
   * @returns decoder outputs `[B, L, E]`; {@link project} makes logits of them
   */
  forward(inputsEmbeds: Tensor, attentionMask: Tensor | null = null): Tensor {
    checkTensors({ inputsEmbeds });
    checkOptionalTensors({ attentionMask });
    const length = inputsEmbeds.size(1);
    const { maxPositionEmbeddings } = this.#config;
    if (length > maxPositionEmbeddings) {
      throw new ArgumentError('inputsEmbeds', `at most ${maxPositionEmbeddings} positions`, String(length));
    }
    const { device, dtype } = inputsEmbeds;
    const positions = attentionMask === null ? arange(0, length, 1, { device }).unsqueeze(0) : positionsOf(attentionMask);
    const mask = attentionMask === null ? null : causalMask(attentionMask, dtype);
    const context: AttentionContext = { mask, causal: mask === null, write: null, read: null };
    return this.model.decoder.forward(inputsEmbeds, { positions, context: () => context });
  }
}
