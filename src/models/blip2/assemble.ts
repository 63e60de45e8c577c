import { anObject, checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { building, type Parameter } from '../../nn/index.ts';
import { scope, type Tensor } from '../../tensor/index.ts';
import { VisionModel } from '../vision/eva/model.ts';
import { type Blip2Config, parseBlip2Config } from './config.ts';
import type { Blip2ForGenerativePretraining } from './generative-pretraining.ts';
import type { LanguageModel, TextConfig } from './language/kinds.ts';
import { Blip2ForConditionalGeneration } from './model.ts';

/** The parts of a BLIP-2 that writes text. */
export interface Blip2Parts {
  /** The frozen tower; only EVA-CLIP's, as Hugging Face's BLIP-2 has no other. */
  readonly visionModel: VisionModel;
  /** What the second stage trained. */
  readonly trained: Blip2ForGenerativePretraining;
  /** The frozen language model. */
  readonly languageModel: LanguageModel;
}

/** Options of {@link assembleBlip2}. */
export interface AssembleOptions {
  /** The id that stands for one query in `inputIds`: of `<image>`, which follows the language model's own tokens. */
  imageTokenIndex: number;
  /** What ends a text; the language model's own end token unless told. */
  eosTokenId?: number;
  /** What a prompt of nothing but a picture goes on with, where the language model's configuration does not say. */
  bosTokenId?: number;
}

/**
 * One model of its parts, which share their memory with it: what changes in the one changes in the other. The LayerNorm over the features
 * takes the place of the tower's last one; its eps is then the tower's (1e-6 where LAVIS trains with 1e-5), as Hugging Face's model has but one.
 *
 * @throws ArgumentError where the parts do not fit together
 */
export function assembleBlip2(parts: Blip2Parts, options: AssembleOptions): Blip2ForConditionalGeneration {
  checkArgument('parts', parts, having('visionModel', 'trained', 'languageModel'));
  checkArgument('options', options, anObject);
  const { visionModel, trained, languageModel } = parts;
  if (!(visionModel instanceof VisionModel)) {
    throw new ArgumentError('visionModel', "EVA-CLIP's tower, as Hugging Face's BLIP-2 has no other", 'another');
  }
  const { hiddenSize } = visionModel.config;
  const { encoderHiddenSize } = trained.config.qformerConfig;
  if (hiddenSize !== encoderHiddenSize) {
    throw new ArgumentError('visionModel', `a tower of width ${encoderHiddenSize}, as it was trained with,`, String(hiddenSize));
  }
  const model = building({ device: 'meta' }, () => new Blip2ForConditionalGeneration(configOf(parts, options)));
  const { languageHiddenSize } = trained.config;
  if (model.languageProjection.weight.size(0) !== languageHiddenSize) {
    const received = String(model.languageProjection.weight.size(0));
    throw new ArgumentError('languageModel', `one of width ${languageHiddenSize}, as it was trained with,`, received);
  }
  const own = new Map([...within('vision_model', visionModel), ...within('language_model', languageModel)]);
  for (const [name, parameter] of trained.namedParameters()) {
    own.set(name.replace(/^ln_vision\./, 'vision_model.post_layernorm.'), parameter);
  }
  for (const [name, parameter] of model.namedParameters()) {
    scope(() => parameter.setData((own.get(name) as Tensor).detach()));
  }
  return model.eval();
}

function* within(name: string, module: VisionModel | LanguageModel): Generator<[string, Parameter]> {
  for (const [inner, parameter] of module.namedParameters()) yield [`${name}.${inner}`, parameter];
}

function configOf({ visionModel, trained, languageModel }: Blip2Parts, options: AssembleOptions): Blip2Config {
  const { imageTokenIndex } = options;
  const { config } = languageModel;
  if (!Number.isSafeInteger(imageTokenIndex) || imageTokenIndex < 0 || imageTokenIndex >= config.vocabSize) {
    const expected = `an id below the language model's words (${config.vocabSize})`;
    throw new ArgumentError('imageTokenIndex', expected, String(imageTokenIndex));
  }
  return {
    ...parseBlip2Config({}),
    visionConfig: visionModel.config,
    qformerConfig: trained.config.qformerConfig,
    textConfig: textConfigOf(config, options),
    numQueryTokens: trained.config.numQueryTokens,
    imageTokenIndex,
    initializerRange: trained.config.initializerRange,
  };
}

function textConfigOf(config: TextConfig, { eosTokenId, bosTokenId }: AssembleOptions): TextConfig {
  const ended = { ...config, eosTokenId: eosTokenId ?? config.eosTokenId };
  return config.bosTokenId === null && bosTokenId !== undefined ? { ...ended, bosTokenId } : ended;
}
