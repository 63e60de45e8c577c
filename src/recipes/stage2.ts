import path from 'node:path';
import { languageKind, languageKinds, languageModelNames, namedLanguageModel } from '../models/blip2/language/kinds.ts';
import { readLanguageConfig } from '../models/blip2/language/load.ts';
import {
  type GenerativePretrainingConfig,
  type LanguageModelName,
  parseGenerativePretrainingConfig,
  type TextConfig,
  type TextConfigOptions,
} from '../models/index.ts';
import { anObject, checkArgument } from '../native/arguments.ts';
import { ArgumentError, FileError } from '../native/errors.ts';
import { shown } from '../native/fields.ts';
import { readRecipe } from '../train/checkpoint.ts';
import { CheckpointFolder } from '../train/index.ts';
import {
  choice,
  configured,
  count,
  type DeepPartial,
  flag,
  orNull,
  overridden,
  probability,
  type Rule,
  type Rules,
  whole,
} from './fields.ts';
import { type Stage1Recipe, type Stage1RecipeOptions, stage1 } from './stage1.ts';
import {
  checkTraining,
  imageOf,
  modelOf,
  OTHER_FIELDS,
  TRAINING_RULES,
  type TrainingRecipe,
  type VisionOption,
  type VisionRecipe,
  visionOf,
  warmupOf,
} from './training-recipe.ts';

/**
 * Where a caption is divided into what the language model's encoder reads and what its decoder writes: behind k of its n words, k drawn anew
 * for each text, every whole number from `minPrefix` to min(n − `minSuffix`, `maxPrefix`) being as likely. Where a caption has too few words for
 * both bounds, `minSuffix` goes first.
 */
export interface PrefixSplit {
  /** Words of the prefix at least. */
  readonly minPrefix: number;
  /** And at most; null for any. */
  readonly maxPrefix: number | null;
  /** Words of the suffix at least, from 1. */
  readonly minSuffix: number;
}

/** A run of BLIP-2's second stage: all that decides on its numbers. Plain data, to be saved with the run. */
export interface Stage2Recipe extends TrainingRecipe {
  /** The frozen language model's shape. */
  readonly languageModel: TextConfig;
  /** Number format of the frozen language model. */
  readonly languageModelDtype: 'float32' | 'bfloat16';
  /**
   * Whether the frozen language model's dropout is on. Off unless told: it is not trained, so there is nothing in it to regularise, and the
   * noise only blurs the gradients that reach the queries. The released code leaves it on (0.1), as it puts all but the tower into training
   * mode.
   */
  readonly languageModelDropout: boolean;
  /** The shape of what is trained. */
  readonly model: GenerativePretrainingConfig;
  /** How captions become tokens. */
  readonly text: {
    /** Tokens at most, special ones included: of prompt and caption together; encoder-decoder: of either. */
    readonly maxLength: number;
    /** Stands before every caption and is no target; decoder-only, and none: the token that begins the text is a target, too. */
    readonly prompt: string;
    /** Stands behind every caption and is learned, so that text written later ends with it. */
    readonly end: string;
    /** Encoder-decoder: how captions are divided; null where the decoder writes all of them, as in the released code. */
    readonly split: PrefixSplit | null;
  };
  /** What is minimised, as `stage2Loss` takes it. */
  readonly objective: { readonly labelSmoothing: number };
}

/** A frozen language model: by its name, by a folder of Hugging Face's with a config.json, or by its shape. */
export type LanguageModelOption = LanguageModelName | (string & {}) | TextConfigOptions;

/** What {@link stage2} is told: where it begins, the language model, and any fields that are to differ from the paper's. */
export type Stage2RecipeOptions = DeepPartial<Omit<Stage2Recipe, 'vision' | 'languageModel' | 'text'>> & {
  languageModel: LanguageModelOption;
  text?: DeepPartial<Omit<Stage2Recipe['text'], 'split'>> & { split?: Partial<PrefixSplit> | null };
  /**
   * The first stage: its recipe, or the folder of its run or of one of its checkpoints. Its tower, Q-Former and picture size are taken over.
   * The weights are loaded by `initFromStage1`.
   */
  from?: string | Stage1Recipe;
  /** The tower, where `from` does not say it. */
  vision?: VisionOption;
};

const split: Rules = { minPrefix: whole, maxPrefix: orNull(whole), minSuffix: count };
const text: Rule = { fits: (value) => typeof value === 'string', expected: 'text' };

const RULES: Rules = {
  ...TRAINING_RULES,
  languageModelDtype: choice('float32', 'bfloat16'),
  languageModelDropout: flag,
  text: { maxLength: count, prompt: text, end: text },
  objective: { labelSmoothing: probability },
};

const SPLIT: PrefixSplit = { minPrefix: 1, maxPrefix: null, minSuffix: 1 };

/**
 * The paper's second stage (BLIP-2, §3.4): 80,000 steps of 1,920 pairs (OPT) or 1,520 (T5) at 224 pixels, random resized crops and flips; AdamW with
 * β 0.9 and 0.98 and a decay of 0.05; 2,000 steps (a tenth of a run of fewer than 20,000) from 1e-6 up to 1e-4, then half a cosine, step by
 * step, down to 5e-5. The frozen parts are in bfloat16, and so are the products of what is trained; on every device: what suits one that is slow in
 * bfloat16, `stage2Run` alone chooses.
 *
 * @example stage2({ from: 'runs/stage1', languageModel: 'opt-2.7b', batchSize: 256, accumulation: 4 })
 * @throws ArgumentError naming the field that there is not, or that is not as expected; FileError for a folder that is not what it should be
 */
export function stage2(options: Stage2RecipeOptions): Stage2Recipe {
  checkArgument('options', options, anObject);
  const {
    from,
    vision: tower,
    languageModel: llm,
    model: modelOptions = {},
    image: imageOptions,
    text: texts,
    ...rest
  } = options;
  const { steps = 80_000 } = rest;
  const before = from === undefined ? undefined : stage1Of(from);
  const vision = towerOf(tower, before);
  const languageModel = languageModelOf(llm);
  const { batchSize } = languageKind(languageModel.modelType).defaults;
  const defaults: Omit<Stage2Recipe, 'vision' | 'languageModel' | 'model' | 'image' | 'text'> = {
    visionDtype: before?.visionDtype ?? 'bfloat16',
    languageModelDtype: 'bfloat16',
    languageModelDropout: false,
    steps,
    batchSize,
    accumulation: 1,
    optimizer: { betas: [0.9, 0.98], eps: 1e-8, weightDecay: 0.05, decay: 'not-vectors' },
    schedule: { start: 1e-6, peak: 1e-4, floor: 5e-5, warmupSteps: warmupOf(steps) },
    objective: { labelSmoothing: 0 },
    precision: 'bfloat16',
    clipNorm: null,
    seed: 0,
  };
  const { image } = before ?? {};
  const recipe: Stage2Recipe = {
    vision,
    languageModel,
    model: shapeOf(modelOptions, vision, languageModel, before),
    image: imageOf({ ...image, ...imageOptions } as typeof imageOptions, vision.config.imageSize),
    text: textOf(texts, languageModel),
    ...overridden(defaults, rest, RULES, 'recipe', [...OTHER_FIELDS, 'languageModel', 'from']),
  };
  check(recipe);
  return recipe;
}

/** A recipe of the first stage, or that of its run. */
function stage1Of(from: string | Stage1Recipe): Stage1Recipe {
  if (typeof from !== 'string') return stage1(from as Stage1RecipeOptions);
  const folder = new CheckpointFolder(path.join(from, 'checkpoints')).latest() ?? from;
  try {
    return stage1(readRecipe(folder) as unknown as Stage1RecipeOptions);
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    throw new FileError(folder, `is no checkpoint of the first stage: ${error.message}`, { cause: error });
  }
}

function towerOf(tower: VisionOption | undefined, before: Stage1Recipe | undefined): VisionRecipe {
  const given = tower ?? before?.vision;
  if (given === undefined) throw new ArgumentError('recipe.vision', 'a tower, or recipe.from', 'neither');
  return visionOf(given);
}

function languageModelOf(given: LanguageModelOption): TextConfig {
  const shape = typeof given === 'string' ? (namedLanguageModel(given) ?? readLanguageConfig(given)) : given;
  const { modelType } = (shape ?? {}) as { modelType?: unknown };
  const known = languageKinds.find((name) => name === modelType);
  if (known === undefined) {
    const kinds = languageKinds.map((name) => JSON.stringify(name)).join(' | ');
    const names = languageModelNames.map((name) => JSON.stringify(name)).join(', ');
    throw new ArgumentError('recipe.languageModel', `${names}, a folder, or { modelType: ${kinds}, … }`, shown(given));
  }
  return configured(shape, (json) => languageKind(known).parseConfig(json, ''), 'recipe.languageModel');
}

/** The trained part's shape: what of the first stage's is also in the second. */
function shapeOf(
  options: DeepPartial<GenerativePretrainingConfig>,
  vision: VisionRecipe,
  languageModel: TextConfig,
  before: Stage1Recipe | undefined,
): GenerativePretrainingConfig {
  const width = languageKind(languageModel.modelType).width(languageModel);
  const given = options.languageHiddenSize ?? width;
  if (given !== width) {
    throw new ArgumentError('recipe.model.languageHiddenSize', `${width}, the language model's width`, String(given));
  }
  const { numQueryTokens, visionLayerNormEps, initializerRange, qformerConfig } = before?.model ?? {};
  const inherited = {
    ...(before && { numQueryTokens, visionLayerNormEps, initializerRange }),
    qformerConfig: { ...qformerConfig, useQformerTextInput: false },
  };
  const merged = {
    ...inherited,
    ...options,
    languageHiddenSize: width,
    qformerConfig: { ...inherited.qformerConfig, ...options.qformerConfig },
  } as DeepPartial<GenerativePretrainingConfig>;
  return modelOf<GenerativePretrainingConfig>(merged, vision, parseGenerativePretrainingConfig);
}

function textOf(options: Stage2RecipeOptions['text'] = {}, { modelType }: TextConfig): Stage2Recipe['text'] {
  const { split: given, ...rest } = options;
  const { decoderOnly, defaults } = languageKind(modelType);
  const words = overridden({ maxLength: 32, prompt: '', end: defaults.captionEnd }, rest, RULES.text as Rules, 'recipe.text', [
    'split',
  ]);
  if (decoderOnly && given != null) {
    throw new ArgumentError('recipe.text.split', 'null, as the language model has no encoder', 'one');
  }
  if (decoderOnly || given === null) return { ...words, split: null };
  return { ...words, split: overridden(SPLIT, given, split, 'recipe.text.split') };
}

function check(recipe: Stage2Recipe): void {
  checkTraining(recipe);
  const { text, languageModel, model } = recipe;
  const room = (languageKind(languageModel.modelType).positions(languageModel) ?? Infinity) - model.numQueryTokens;
  if (text.maxLength < 2 || text.maxLength > room) {
    const most = Number.isFinite(room) ? ` to ${room}, the positions that queries leave` : '';
    throw new ArgumentError('recipe.text.maxLength', `from 2${most}`, String(text.maxLength));
  }
  const { split } = text;
  if (split !== null && split.maxPrefix !== null && split.maxPrefix < split.minPrefix) {
    throw new ArgumentError('recipe.text.split.maxPrefix', `at least minPrefix (${split.minPrefix})`, String(split.maxPrefix));
  }
}
