// B batch, N image tokens (1 + patches), D hidden, H heads, E = D / H.
import { anObject, checkArgument, having } from '../../../native/arguments.ts';
import {
  attention,
  Conv2d,
  Embedding,
  initNormal,
  LayerNorm,
  Linear,
  Module,
  type Parameter,
  parameter,
} from '../../../nn/index.ts';
import { cat, type Tensor } from '../../../tensor/index.ts';
import { type LoadOptions, loadPretrained } from '../../checkpoint.ts';
import { runLayers, VisionLayer } from '../layers.ts';
import { checkPixels, interpolatePositions, type VisionOptions } from '../pixels.ts';
import { type ClipVisionConfig, parseClipVisionConfig } from './config.ts';
import { clipRules } from './weights.ts';

/** Patches (without bias), the class token in front, and their positions: pictures `[B, 3, H, W]` → `[B, N, D]`. */
export class ClipEmbeddings extends Module {
  readonly classEmbedding: Parameter;
  readonly patchEmbedding: Conv2d;
  readonly positionEmbedding: Embedding;
  readonly #imageSize: number;
  readonly #patchSize: number;

  constructor(config: ClipVisionConfig) {
    super();
    const { hiddenSize, imageSize, patchSize } = config;
    const init = initNormal(config.initializerRange);
    this.classEmbedding = parameter([hiddenSize], init);
    this.patchEmbedding = new Conv2d(3, hiddenSize, patchSize, { stride: patchSize, bias: false, init });
    this.positionEmbedding = new Embedding(Math.floor(imageSize / patchSize) ** 2 + 1, hiddenSize, { init });
    this.#imageSize = imageSize;
    this.#patchSize = patchSize;
  }

  /** @throws ArgumentError where the pictures' size is not the tower's and is not to be interpolated */
  forward(pixelValues: Tensor, interpolate = false): Tensor {
    checkPixels(pixelValues, this.#imageSize, this.#patchSize, interpolate);
    const patches = this.patchEmbedding.forward(pixelValues.to(this.patchEmbedding.weight.dtype));
    const [batch, width] = [patches.size(0), patches.size(1)];
    const table = this.positionEmbedding.weight.unsqueeze(0);
    const positions = interpolate ? interpolatePositions(table, patches.size(2), patches.size(3)) : table;
    return cat([this.classEmbedding.expand(batch, 1, width), patches.flatten(2).transpose(1, 2)], 1).add(positions);
  }
}

/** Self-attention over all tokens. */
export class ClipAttention extends Module {
  readonly qProj: Linear;
  readonly kProj: Linear;
  readonly vProj: Linear;
  readonly outProj: Linear;
  readonly #heads: number;
  readonly #dropout: number;

  constructor(config: ClipVisionConfig) {
    super();
    const linear = () => new Linear(config.hiddenSize, config.hiddenSize, { init: initNormal(config.initializerRange) });
    this.qProj = linear();
    this.kProj = linear();
    this.vProj = linear();
    this.outProj = linear();
    this.#heads = config.numAttentionHeads;
    this.#dropout = config.attentionDropout;
  }

  forward(x: Tensor): Tensor {
    const [batch, length] = [x.size(0), x.size(1)];
    const split = (part: Tensor) => part.view(batch, length, this.#heads, -1).transpose(1, 2); // [B, H, N, E]
    const [q, k, v] = [this.qProj.forward(x), this.kProj.forward(x), this.vProj.forward(x)];
    const mixed = attention(split(q), split(k), split(v), { dropout: this.training ? this.#dropout : 0 });
    return this.outProj.forward(mixed.transpose(1, 2).flatten(2));
  }
}

/** All layers but the last of the configured ones. */
export class ClipEncoder extends Module {
  readonly layers: readonly VisionLayer<ClipAttention>[];

  constructor(config: ClipVisionConfig) {
    super();
    const layer = (): VisionLayer<ClipAttention> => new VisionLayer(config, new ClipAttention(config));
    this.layers = Array.from({ length: config.numHiddenLayers - 1 }, layer);
  }
}

/** What {@link ClipVisionModel.forward} gives. */
export interface ClipVisionOutput {
  /** Every token after the last block that runs, without a LayerNorm, `[B, N, D]`. */
  lastHiddenState: Tensor;
  /** On request, what each block was given and, last, what the last one gave, `[B, N, D]` each. */
  hiddenStates?: Tensor[];
}

/**
 * CLIP's vision transformer as BLIP-2 reads it (§3.4): without its last block, so that the features are those of the second last layer,
 * and without the final LayerNorm, whose place BLIP-2's own takes.
 */
export class ClipVisionModel extends Module {
  /** What it was built from. */
  readonly config: ClipVisionConfig;
  /** Pictures `[B, 3, H, W]` → `[B, N, D]`. */
  readonly embeddings: ClipEmbeddings;
  /** CLIP's own spelling. */
  readonly preLayrnorm: LayerNorm;
  /** The blocks, one fewer than configured. */
  readonly encoder: ClipEncoder;

  constructor(config: ClipVisionConfig) {
    super();
    checkArgument('config', config, having('hiddenSize'));
    this.config = config;
    this.embeddings = new ClipEmbeddings(config);
    this.preLayrnorm = new LayerNorm(config.hiddenSize, { eps: config.layerNormEps });
    this.encoder = new ClipEncoder(config);
  }

  /**
   * Reads a folder that Hugging Face's `CLIPVisionModel` or whole `CLIPModel` was saved in; what does not run here is not read. The model
   * is in evaluation mode.
   * @throws FileError for a file that is missing or not as expected; StateDictError where weights and configuration do not fit
   */
  static fromPretrained(directory: string, options: LoadOptions = {}): ClipVisionModel {
    return loadPretrained(directory, options, {
      parse: (json) => parseClipVisionConfig((json.model_type === 'clip' ? json.vision_config : json) ?? {}),
      build: (config) => new ClipVisionModel(config),
      rules: (config, model) => clipRules(config, model.stateDict().keys()),
    });
  }

  /**
   * Pictures `[B, 3, H, W]`, normalised, → features of the class token and each patch, row by row.
   * @throws ArgumentError where the pictures' size is not the tower's and is not to be interpolated
   */
  forward(pixelValues: Tensor, options: VisionOptions = {}): ClipVisionOutput {
    checkArgument('options', options, anObject);
    const states: Tensor[] | undefined = options.hiddenStates ? [] : undefined;
    const embedded = this.preLayrnorm.forward(this.embeddings.forward(pixelValues, options.interpolatePosEncoding));
    const lastHiddenState = runLayers(this.encoder.layers, embedded, states);
    return states === undefined ? { lastHiddenState } : { lastHiddenState, hiddenStates: states };
  }

  /** The same features alone, `[B, N, D]`, under the name that the towers share. */
  features(pixelValues: Tensor, options: Pick<VisionOptions, 'interpolatePosEncoding'> = {}): Tensor {
    return this.forward(pixelValues, options).lastHiddenState;
  }
}
