import { ArgumentError } from '../../native/errors.ts';
import { type Blip2Config, type Blip2ConfigOptions, blip2Config } from './config.ts';

/** OPT as released with BLIP-2: the vocabulary padded to 64, captions end with a line break. */
const opt = { vocabSize: 50304, eosTokenId: 50118 } as const;
const opt27 = { ...opt, hiddenSize: 2560, numHiddenLayers: 32, numAttentionHeads: 32, ffnDim: 10240 } as const;
const opt67 = { ...opt, hiddenSize: 4096, numHiddenLayers: 32, numAttentionHeads: 32, ffnDim: 16384 } as const;

/** Flan-T5 as released with BLIP-2: gated with the exact gelu, an output table of its own, output not scaled. */
const flanT5 = {
  modelType: 't5',
  numLayers: 24,
  denseActFn: 'gelu',
  isGatedAct: true,
  scaleDecoderOutputs: false,
  tieWordEmbeddings: false,
  bosTokenId: 1,
  decoderStartTokenId: 0,
} as const;
const flanT5Xl = { ...flanT5, dModel: 2048, dFf: 5120, numHeads: 32 } as const;
const flanT5Xxl = { ...flanT5, dModel: 4096, dFf: 10240, numHeads: 64 } as const;

const coco = { visionConfig: { imageSize: 364 } } as const;
const withOpt = (textConfig: Blip2ConfigOptions['textConfig'] & object) => ({ textConfig, imageTokenIndex: 50265 });
const withT5 = (textConfig: Blip2ConfigOptions['textConfig'] & object) => ({ textConfig, imageTokenIndex: 32100 });
const matching = { qformerConfig: { vocabSize: 30523, useQformerTextInput: true } } as const;

const PRESETS = {
  'blip2-opt-2.7b': withOpt(opt27),
  'blip2-opt-2.7b-coco': { ...withOpt(opt27), ...coco },
  'blip2-opt-6.7b': withOpt(opt67),
  'blip2-opt-6.7b-coco': { ...withOpt(opt67), ...coco },
  'blip2-flan-t5-xl': withT5(flanT5Xl),
  'blip2-flan-t5-xl-coco': { ...withT5(flanT5Xl), ...coco },
  'blip2-flan-t5-xxl': withT5(flanT5Xxl),
  'blip2-itm-vit-g': matching,
  'blip2-itm-vit-g-coco': { ...matching, ...coco },
} as const satisfies Record<string, Blip2ConfigOptions>;

/** The name of a released size. */
export type PresetName = keyof typeof PRESETS;

/** Every released size. */
export const presetNames = Object.keys(PRESETS) as readonly PresetName[];

/**
 * The configuration of a released BLIP-2 checkpoint; all have the ViT-g/14 tower and a base Q-Former.
 * @throws ArgumentError for a name that is none of {@link presetNames}
 */
export function preset(name: PresetName): Blip2Config {
  if (!Object.hasOwn(PRESETS, name)) throw new ArgumentError('name', `one of ${presetNames.join(', ')}`, String(name));
  return blip2Config(PRESETS[name]);
}
