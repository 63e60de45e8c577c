import type { LanguageKind } from './kind.ts';
import * as registry from './registry.ts';

const KINDS: typeof registry = { ...registry };

type Kinds = typeof KINDS;

/** A language model's shape; `modelType` tells which. */
export type TextConfig = ReturnType<Kinds[keyof Kinds]['parseConfig']>;

/** A language model. */
export type LanguageModel = ReturnType<Kinds[keyof Kinds]['build']>;

/** Language models of the paper, by name. */
export type LanguageModelName = { [K in keyof Kinds]: keyof Kinds[K]['models'] }[keyof Kinds];

/** Some fields of a language model's shape, and which kind it is; the others take their defaults. */
export type TextConfigOptions<C extends TextConfig = TextConfig> = C extends unknown ? Pick<C, 'modelType'> & Partial<C> : never;

/** Every kind's name in configurations. */
export const languageKinds = Object.keys(KINDS) as readonly TextConfig['modelType'][];

/** What a configuration of BLIP-2 is about that does not say it. */
export const unnamedKind = 'opt' satisfies TextConfig['modelType'];

/** What BLIP-2 knows of a kind of language model. */
export function languageKind(modelType: TextConfig['modelType']): LanguageKind<TextConfig, LanguageModel> {
  return KINDS[modelType];
}

const NAMED = new Map(
  languageKinds.flatMap((modelType) =>
    Object.entries(KINDS[modelType].models).map(
      ([name, fields]) => [name, { modelType, ...fields } as TextConfigOptions] as const,
    ),
  ),
);

/** Every name of a {@link LanguageModelName}. */
export const languageModelNames = [...NAMED.keys()] as readonly LanguageModelName[];

/** What a name stands for, as the second stage runs it; undefined where it is none. */
export function namedLanguageModel(name: LanguageModelName): TextConfigOptions;
export function namedLanguageModel(name: string): TextConfigOptions | undefined;
export function namedLanguageModel(name: string): TextConfigOptions | undefined {
  return NAMED.get(name);
}
