// B batch, Q queries a picture, N image tokens, L length of the ids, D width of the Q-Former, E of the language model, V vocabulary.

import type { Continuations, DecidedToken, Generated, GenerateOptions, ScoreOptions } from '../../generate/index.ts';
import { anObject, checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { initNormal, Linear, Module, type Parameter, parameter } from '../../nn/index.ts';
import { checkTensors } from '../../tensor/base.ts';
import { crossEntropy, scope, type Tensor } from '../../tensor/index.ts';
import { type LoadOptions, loadPretrained, type SavePretrainedOptions, saveCheckpoint } from '../checkpoint.ts';
import { QFormerModel } from '../qformer/model.ts';
import { VisionModel } from '../vision/eva/model.ts';
import { type Blip2Config, blip2ConfigToJson, parseBlip2Config } from './config.ts';
import { type GenerateInputs, generateText, scoreText, streamText } from './generate.ts';
import { checkIds, checkInputs, checkMask, type InputNames } from './inputs.ts';
import type { Language } from './language/kind.ts';
import { type LanguageModel, languageKind } from './language/kinds.ts';
import { completed } from './language/load.ts';
import { generationConfigJson, generationRules } from './weights.ts';

/** What {@link Blip2ForConditionalGeneration.forward} works on. */
export interface Blip2Inputs {
  /** Normalised pictures `[B, 3, H, W]`. */
  pixelValues: Tensor;
  /** `[B, L]`: Q image tokens in each row, and text. */
  inputIds: Tensor;
  /** `[B, L]`, 0 at padding; none where there is none. */
  attentionMask?: Tensor | undefined;
  /** `[B, T]`, −100 where there is nothing to learn. Decoder-only (OPT): the ids of the last T ≤ L positions. Encoder-decoder (T5): the text to be written. */
  labels?: Tensor | undefined;
  /** Encoder-decoder: what the decoder is given, `[B, T]`; the labels, moved by one with the start token in front, unless told. */
  decoderInputIds?: Tensor | undefined;
  /** Encoder-decoder: `[B, T]`, 0 at padding of the decoder's input that does not stand at its end; none unless told. */
  decoderAttentionMask?: Tensor | undefined;
  /** Takes pictures of another size than the tower's own. */
  interpolatePosEncoding?: boolean | undefined;
}

const INPUTS: InputNames<Blip2Inputs> = {
  pixelValues: true,
  inputIds: true,
  attentionMask: true,
  labels: true,
  decoderInputIds: true,
  decoderAttentionMask: true,
  interpolatePosEncoding: false,
};

/** What it gives. */
export interface Blip2Output {
  /** Decoder-only: `[B, L, V]`, or with labels those of the last T positions. Encoder-decoder: `[B, T, V]`, of the decoder's positions. */
  logits: Tensor;
  /** With labels: mean cross-entropy of each token that is to be predicted. */
  loss?: Tensor;
  /** The vision tower's features `[B, N, vision width]`. */
  imageEmbeds: Tensor;
  /** The Q-Former's output `[B, Q, D]`. */
  queryOutput: Tensor;
  /** The queries as the language model reads them, `[B, Q, E]`. */
  languageModelInputs: Tensor;
}

/** What becomes of pictures before the language model. */
type ImageFeatures = Pick<Blip2Output, 'imageEmbeds' | 'queryOutput' | 'languageModelInputs'>;

/**
 * BLIP-2 that writes text (§3.3): a vision tower, queries that a Q-Former fills from it, and a language model that reads them as soft
 * prompts. A state dict is a Hugging Face checkpoint of the class of the same name.
 */
export class Blip2ForConditionalGeneration extends Module {
  /** Pictures `[B, 3, H, W]` → features `[B, N, W]`. */
  readonly visionModel: VisionModel;
  /** The learned queries, `[1, Q, D]`. */
  readonly queryTokens: Parameter;
  /** Fills the queries from the features. */
  readonly qformer: QFormerModel;
  /** From the Q-Former's width D to the language model's E. */
  readonly languageProjection: Linear;
  /** Of the kind that `config.textConfig.modelType` says. */
  readonly languageModel: LanguageModel;
  readonly #language: Language;
  readonly #config: Blip2Config;

  /** @throws ArgumentError where the parts do not fit together */
  constructor(config: Blip2Config) {
    super();
    checkArgument('config', config, having('visionConfig', 'qformerConfig', 'textConfig'));
    const { textConfig, qformerConfig } = config;
    const kind = languageKind(textConfig.modelType);
    const width = kind.width(textConfig);
    const init = initNormal(config.initializerRange);
    this.visionModel = new VisionModel(config.visionConfig);
    // Not zeros, as in Hugging Face: equal queries would get equal gradients and stay equal.
    this.queryTokens = parameter([1, config.numQueryTokens, qformerConfig.hiddenSize], init);
    this.qformer = new QFormerModel(qformerConfig);
    this.languageProjection = new Linear(qformerConfig.hiddenSize, width, { init });
    this.languageModel = kind.build(textConfig);
    this.#language = kind.language(this.languageModel);
    this.#config = config;
  }

  /** What it was built from. */
  get config(): Blip2Config {
    return this.#config;
  }

  /** The language model as all kinds of it look from here. */
  get language(): Language {
    return this.#language;
  }

  /**
   * Reads a folder as Hugging Face's `save_pretrained` or the hub has it: config.json and `model.safetensors`, in one file or several.
   * The weights go straight into the wanted dtype and onto the device. The model is in evaluation mode.
   * @throws FileError for a file that is missing or not as expected; StateDictError where weights and configuration do not fit
   */
  static fromPretrained(directory: string, options: LoadOptions = {}): Blip2ForConditionalGeneration {
    return loadPretrained(directory, options, {
      parse: parseBlip2Config,
      complete: (config) => ({ ...config, textConfig: completed(config.textConfig, directory) }),
      build: (config) => new Blip2ForConditionalGeneration(config),
      rules: ({ textConfig }) => generationRules(textConfig),
    });
  }

  /**
   * Writes config.json, generation_config.json and the weights, as Hugging Face reads them.
   * @throws FileError where the folder cannot be written; what was there is then still whole. A process that is killed leaves the old model, the new one,
   *   or a folder without config.json, which nothing reads
   */
  savePretrained(directory: string, options: SavePretrainedOptions = {}): void {
    const architecture = { architectures: ['Blip2ForConditionalGeneration'], dtype: this.languageProjection.weight.dtype };
    const files = {
      'config.json': { ...architecture, ...blip2ConfigToJson(this.#config) },
      'generation_config.json': generationConfigJson(this.#config.textConfig),
    };
    saveCheckpoint(this, directory, files, options);
  }

  /**
   * One pass with the text given (teacher forcing): part of the prompt where the language model is decoder-only (OPT), else written after it (T5).
   * @throws ArgumentError for names that are none of {@link Blip2Inputs}, where ids, masks, labels and pictures do not fit together, or the
   *   pictures' size is not the tower's
   */
  forward(inputs: Blip2Inputs): Blip2Output {
    expectInputs(inputs);
    const features = this.#imageFeatures(inputs.pixelValues, inputs.interpolatePosEncoding);
    const { logits, loss } = scope(() => {
      const { hidden, targets } = this.#language.pass({
        embedded: this.embedPrompt(inputs.inputIds, features.languageModelInputs),
        attentionMask: inputs.attentionMask ?? null,
        labels: inputs.labels ?? null,
        decoderInputIds: inputs.decoderInputIds ?? null,
        decoderAttentionMask: inputs.decoderAttentionMask ?? null,
      });
      const made = this.#language.project(hidden);
      if (targets === null) return { logits: made, loss: undefined };
      return { logits: made, loss: crossEntropy(made.float().flatten(0, 1), targets.flatten()) };
    });
    return loss === undefined ? { logits, ...features } : { logits, loss, ...features };
  }

  /** Pictures `[B, 3, H, W]` → the queries as the language model reads them, `[B, Q, E]`. */
  encodeImages(pixelValues: Tensor, options: { interpolatePosEncoding?: boolean | undefined } = {}): Tensor {
    checkArgument('options', options, anObject);
    return scope(() => this.#imageFeatures(pixelValues, options.interpolatePosEncoding).languageModelInputs);
  }

  /**
   * Word embeddings of the ids `[B, L]`, with the projected queries `[B, Q, E]` in the places of the image tokens → `[B, L, E]`.
   * @throws ArgumentError where a row has not exactly Q image tokens, or there are not as many rows as pictures
   */
  embedPrompt(inputIds: Tensor, projected: Tensor): Tensor {
    checkTensors({ projected });
    checkIds('inputIds', inputIds, projected.size(0));
    const { imageTokenIndex, textConfig } = this.#config;
    if (imageTokenIndex === null)
      throw new ArgumentError('image_token_index', "an image token's id in the configuration", 'null');
    if (imageTokenIndex >= textConfig.vocabSize) {
      throw new ArgumentError(
        'image_token_index',
        `an id below text_config.vocab_size (${textConfig.vocabSize})`,
        String(imageTokenIndex),
      );
    }
    return scope(() => {
      const places = inputIds.eq(imageTokenIndex);
      // Reading the counts would wait for an accelerator, in every training step.
      if (inputIds.device === 'cpu') this.#expectQueries(places.sum(1), projected.size(1));
      const words = this.#language.embed(inputIds);
      return words.maskedScatter(places.unsqueeze(-1), projected.to(words.dtype));
    });
  }

  #expectQueries(counts: Tensor, queries: number): void {
    const rows = counts.toArray() as number[];
    if (rows.some((count) => count !== queries)) {
      const expected = `${queries} image tokens (${this.#config.imageTokenIndex}) in each row`;
      throw new ArgumentError('inputIds', expected, String(rows));
    }
  }

  /**
   * Writes text about pictures; see {@link GenerateOptions}. Special tokens are the configuration's unless the options name them. The
   * event loop gets a turn at every step, and `signal` stops it there.
   * @returns ids as Hugging Face's `generate` gives them: of decoder-only models with the prompt's, image tokens included, in front, else with the start token;
   * the caller disposes of them
   * @throws ArgumentError that names the wrong input or option
   */
  generate(inputs: GenerateInputs, options: GenerateOptions = {}): Promise<Generated> {
    return generateText(this, inputs, options);
  }

  /** The same, token by token; not for beams. Yields what each step decided; returns what {@link generate} gives. */
  stream(inputs: GenerateInputs, options: GenerateOptions = {}): AsyncGenerator<readonly DecidedToken[], Generated, void> {
    return streamText(this, inputs, options);
  }

  /**
   * Log-likelihoods of given texts about pictures, `[picture][text]`: what the model thinks of each as the continuation of the prompt (encoder-decoder: as
   * what it writes). Pictures and prompts go through the model once, whatever the number of texts.
   * @param continuations token ids of the texts, as `generate` would give them after the prompt; an end token counts only where it is among them
   * @throws ArgumentError that names the wrong input
   */
  score(inputs: GenerateInputs, continuations: Continuations, options: ScoreOptions = {}): Promise<number[][]> {
    return scoreText(this, inputs, continuations, options);
  }

  #imageFeatures(pixelValues: Tensor, interpolatePosEncoding = false): ImageFeatures {
    return scope(() => {
      const { lastHiddenState: imageEmbeds } = this.visionModel.forward(pixelValues, { interpolatePosEncoding });
      const { lastHiddenState } = this.qformer.forward({ queryEmbeds: this.queryTokens, encoderHiddenStates: imageEmbeds });
      // A float16 model has its Q-Former in float32.
      const queryOutput = lastHiddenState.to(imageEmbeds.dtype);
      return { imageEmbeds, queryOutput, languageModelInputs: this.languageProjection.forward(queryOutput) };
    });
  }
}

function expectInputs(inputs: Blip2Inputs): void {
  checkInputs(inputs, INPUTS);
  const { pixelValues, inputIds, attentionMask, labels, decoderInputIds, decoderAttentionMask } = inputs;
  checkTensors({ pixelValues });
  const pictures = pixelValues.shape[0];
  checkIds('inputIds', inputIds, pictures);
  checkMask('attentionMask', attentionMask, inputIds);
  if (labels != null) checkIds('labels', labels, pictures, ['int64']);
  if (decoderInputIds != null) checkIds('decoderInputIds', decoderInputIds, pictures);
  const written = decoderInputIds ?? labels;
  if (written != null) checkMask('decoderAttentionMask', decoderAttentionMask, written);
}
