import type { OptConfig } from '../../opt/config.ts';
import type { OptForCausalLM } from '../../opt/model.ts';
import type { T5Config } from '../../t5/config.ts';
import type { T5ForConditionalGeneration } from '../../t5/model.ts';
import type { LanguageKind } from './kind.ts';
import { opt } from './opt.ts';
import { t5 } from './t5.ts';

/** A language model's shape; `modelType` tells which. */
export type TextConfig = OptConfig | T5Config;

/** A language model. */
export type LanguageModel = OptForCausalLM | T5ForConditionalGeneration;

const KINDS: Readonly<Record<TextConfig['modelType'], LanguageKind<TextConfig, LanguageModel>>> = { opt, t5 };

/** Every kind's name in configurations. */
export const languageKinds = Object.keys(KINDS) as readonly TextConfig['modelType'][];

/** What BLIP-2 knows of a kind of language model. */
export function languageKind(modelType: TextConfig['modelType']): LanguageKind<TextConfig, LanguageModel> {
  return KINDS[modelType];
}
