// B batch, N image tokens (1 + patches), D hidden, H heads, E = D / H.

import { anObject, checkArgument, having } from '../../../native/arguments.ts';
import { attention, Conv2d, initNormal, LayerNorm, Linear, Module, type Parameter, parameter } from '../../../nn/index.ts';
import { checkTensors } from '../../../tensor/base.ts';
import { cat, type Tensor } from '../../../tensor/index.ts';
import { runLayers, VisionLayer } from '../layers.ts';
import { checkPixels, interpolatePositions, type VisionOptions } from '../pixels.ts';
import type { VisionConfig } from './config.ts';

/** Patches, the class token in front, and their positions: pictures `[B, 3, H, W]` → `[B, N, D]`. */
export class VisionEmbeddings extends Module {
  readonly classEmbedding: Parameter;
  readonly patchEmbedding: Conv2d;
  readonly positionEmbedding: Parameter;
  readonly #imageSize: number;
  readonly #patchSize: number;

  constructor(config: VisionConfig) {
    super();
    const { hiddenSize, imageSize, patchSize } = config;
    const init = initNormal(config.initializerRange);
    const patches = Math.floor(imageSize / patchSize) ** 2;
    this.classEmbedding = parameter([1, 1, hiddenSize], init);
    this.patchEmbedding = new Conv2d(3, hiddenSize, patchSize, { stride: patchSize, init });
    this.positionEmbedding = parameter([1, patches + 1, hiddenSize], init);
    this.#imageSize = imageSize;
    this.#patchSize = patchSize;
  }

  /** @throws ArgumentError where the pictures' size is not the tower's and is not to be interpolated */
  forward(pixelValues: Tensor, interpolate = false): Tensor {
    checkPixels(pixelValues, this.#imageSize, this.#patchSize, interpolate);
    const patches = this.patchEmbedding.forward(pixelValues.to(this.patchEmbedding.weight.dtype));
    const [batch, width] = [patches.size(0), patches.size(1)];
    const positions = interpolate
      ? interpolatePositions(this.positionEmbedding, patches.size(2), patches.size(3))
      : this.positionEmbedding;
    const tokens = [this.classEmbedding.expand(batch, 1, width), patches.flatten(2).transpose(1, 2)];
    return cat(tokens, 1).add(positions);
  }
}

/** Self-attention over all tokens; queries, keys and values come from one projection, in this order. */
export class VisionAttention extends Module {
  readonly qkv: Linear;
  readonly projection: Linear;
  readonly #heads: number;
  readonly #dropout: number;

  constructor(config: VisionConfig) {
    super();
    const { hiddenSize } = config;
    const init = initNormal(config.initializerRange);
    this.qkv = new Linear(hiddenSize, 3 * hiddenSize, { bias: config.qkvBias, init });
    this.projection = new Linear(hiddenSize, hiddenSize, { init });
    this.#heads = config.numAttentionHeads;
    this.#dropout = config.attentionDropout;
  }

  forward(x: Tensor): Tensor {
    const [q, k, v] = this.qkv
      .forward(x) // [B, N, 3·D], of which q, k, v are views [B, H, N, E]
      .view(x.size(0), x.size(1), 3, this.#heads, -1)
      .unbind(2)
      .map((part) => part.transpose(1, 2)) as [Tensor, Tensor, Tensor];
    const mixed = attention(q, k, v, { dropout: this.training ? this.#dropout : 0 });
    return this.projection.forward(mixed.transpose(1, 2).flatten(2));
  }
}

/** The stack of layers. */
export class VisionEncoder extends Module {
  readonly layers: readonly VisionLayer<VisionAttention>[];

  constructor(config: VisionConfig) {
    super();
    const layer = (): VisionLayer<VisionAttention> => new VisionLayer(config, new VisionAttention(config));
    this.layers = Array.from({ length: config.numHiddenLayers }, layer);
  }
}

/** What {@link VisionModel.forward} gives. */
export interface VisionOutput {
  /** Every token after the last LayerNorm, `[B, N, D]`. */
  lastHiddenState: Tensor;
  /** On request, what each block was given and, last, what the last one gave, `[B, N, D]` each, before the last LayerNorm. */
  hiddenStates?: Tensor[];
}

/** EVA-CLIP's vision transformer (BLIP-2, §3.2 and §3.4: ViT-g/14 without its last block). */
export class VisionModel extends Module {
  /** What it was built from. */
  readonly config: VisionConfig;
  /** Pictures `[B, 3, H, W]` → `[B, N, D]`. */
  readonly embeddings: VisionEmbeddings;
  /** The blocks, as `encoder.layers`. */
  readonly encoder: VisionEncoder;
  /** Over all tokens after the last block; `ln_vision` in LAVIS. */
  readonly postLayernorm: LayerNorm;

  constructor(config: VisionConfig) {
    super();
    checkArgument('config', config, having('hiddenSize'));
    this.config = config;
    this.embeddings = new VisionEmbeddings(config);
    this.encoder = new VisionEncoder(config);
    this.postLayernorm = new LayerNorm(config.hiddenSize, { eps: config.layerNormEps });
  }

  /**
   * Pictures `[B, 3, H, W]`, normalised, → features of the class token and each patch, row by row.
   * @throws ArgumentError where the pictures' size is not the tower's and is not to be interpolated
   */
  forward(pixelValues: Tensor, options: VisionOptions = {}): VisionOutput {
    checkArgument('options', options, anObject);
    const states: Tensor[] | undefined = options.hiddenStates ? [] : undefined;
    const last = this.#run(pixelValues, options, states);
    const lastHiddenState = this.postLayernorm.forward(last);
    return states === undefined ? { lastHiddenState } : { lastHiddenState, hiddenStates: states };
  }

  /** The features before the last LayerNorm, for a model that trains that one itself (BLIP-2's first stage), `[B, N, D]`. */
  features(pixelValues: Tensor, options: Pick<VisionOptions, 'interpolatePosEncoding'> = {}): Tensor {
    checkArgument('options', options, anObject);
    return this.#run(pixelValues, options);
  }

  #run(pixelValues: Tensor, options: VisionOptions, states?: Tensor[]): Tensor {
    const embedded = this.embeddings.forward(pixelValues, options.interpolatePosEncoding);
    return runLayers(this.encoder.layers, embedded, states);
  }

  /** Hugging Face's `pooler_output` `[B, D]`: the class token through the last LayerNorm a second time. The Q-Former does not read it. */
  pool(lastHiddenState: Tensor): Tensor {
    checkTensors({ lastHiddenState });
    return this.postLayernorm.forward(lastHiddenState.select(1, 0));
  }
}
