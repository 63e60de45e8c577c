import { ArgumentError } from '../../native/errors.ts';
import { type Blip2Config, type Blip2ConfigOptions, blip2Config } from './config.ts';
import { type LanguageModelName, languageKind, namedLanguageModel, type TextConfigOptions } from './language/kinds.ts';

const coco = { visionConfig: { imageSize: 364 } } as const;
const matching = { qformerConfig: { vocabSize: 30523, useQformerTextInput: true } } as const;

/** With a language model of the paper, as it was released with BLIP-2. */
function withModel(name: LanguageModelName): Blip2ConfigOptions {
  const own = namedLanguageModel(name);
  const { textConfig, imageTokenIndex = null } = languageKind(own.modelType).released ?? {};
  return { textConfig: { ...own, ...textConfig } as TextConfigOptions, imageTokenIndex };
}

const PRESETS = {
  'blip2-opt-2.7b': withModel('opt-2.7b'),
  'blip2-opt-2.7b-coco': { ...withModel('opt-2.7b'), ...coco },
  'blip2-opt-6.7b': withModel('opt-6.7b'),
  'blip2-opt-6.7b-coco': { ...withModel('opt-6.7b'), ...coco },
  'blip2-flan-t5-xl': withModel('flan-t5-xl'),
  'blip2-flan-t5-xl-coco': { ...withModel('flan-t5-xl'), ...coco },
  'blip2-flan-t5-xxl': withModel('flan-t5-xxl'),
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
