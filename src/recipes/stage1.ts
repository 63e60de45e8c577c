import { type ImageTransform, trainTransform } from '../data/index.ts';
import {
  type ClipVisionConfig,
  type PretrainingConfig,
  parseClipVisionConfig,
  parsePretrainingConfig,
  parseVisionConfig,
  type VisionConfig,
} from '../models/index.ts';
import { ArgumentError } from '../native/errors.ts';
import { shown } from '../native/fields.ts';
import type { AdamWSettings, DecayOptions, WarmupCosine } from '../optim/index.ts';
import type { Precision } from '../train/index.ts';
import {
  choice,
  configured,
  count,
  type DeepPartial,
  flag,
  listOf,
  orNull,
  overridden,
  positive,
  probability,
  type Rules,
  scale,
  whole,
} from './fields.ts';

/** The frozen vision tower of a run. */
export type VisionRecipe =
  | { readonly architecture: 'eva'; readonly config: VisionConfig }
  | { readonly architecture: 'clip'; readonly config: ClipVisionConfig };

/** Towers of the paper, by name. */
export type VisionName = 'eva-vit-g' | 'clip-vit-l';

/** A run of BLIP-2's first stage: all that decides on its numbers. Plain data, to be saved with the run. */
export interface Stage1Recipe {
  readonly vision: VisionRecipe;
  /** Number format of the frozen tower. */
  readonly visionDtype: 'float32' | 'bfloat16';
  readonly model: PretrainingConfig;
  /** What happens to a picture on its way. */
  readonly image: ImageTransform;
  readonly text: {
    /** Tokens at most, `[CLS]` and `[SEP]` included. */
    readonly maxLength: number;
  };
  /** Optimizer steps. */
  readonly steps: number;
  /** Pairs an optimizer step. */
  readonly batchSize: number;
  /** Batches that an optimizer step is divided into. ITC contrasts, and ITM draws its negatives, within each. */
  readonly accumulation: number;
  readonly optimizer: Pick<AdamWSettings, 'betas' | 'eps' | 'weightDecay'> & Required<Pick<DecayOptions, 'decay'>>;
  /** Learning rate by step. */
  readonly schedule: Required<Omit<WarmupCosine, 'totalSteps'>>;
  readonly objective: {
    /** 0 leaves an objective out. */
    readonly weights: { readonly itc: number; readonly itm: number; readonly itg: number };
    readonly labelSmoothing: number;
    readonly contrastGradient: 'own' | 'both';
  };
  /** Of the products in what is trained. */
  readonly precision: Precision;
  /** Largest norm of all gradients together; null for any, as in the official code. */
  readonly clipNorm: number | null;
  readonly seed: number;
}

/** What {@link stage1} is told: the tower, and any fields that are to differ from the paper's. */
export type Stage1RecipeOptions = DeepPartial<Omit<Stage1Recipe, 'vision'>> & {
  vision:
    | VisionName
    | { readonly architecture: 'eva'; readonly config?: Partial<VisionConfig> }
    | { readonly architecture: 'clip'; readonly config?: Partial<ClipVisionConfig> };
};

const range = listOf(2, positive);
const colour = listOf(3, positive);

const RULES: Rules = {
  visionDtype: choice('float32', 'bfloat16'),
  text: { maxLength: count },
  image: {
    size: count,
    crop: { scale: range, ratio: range },
    flip: { fits: (value) => typeof value === 'number' && value >= 0 && value <= 1, expected: 'a probability' },
    imageMean: colour,
    imageStd: colour,
    applyOrientation: flag,
  },
  steps: count,
  batchSize: count,
  accumulation: count,
  optimizer: { betas: listOf(2, probability), eps: scale, weightDecay: scale, decay: choice('not-vectors', 'matrices') },
  schedule: { start: scale, peak: positive, floor: scale, warmupSteps: whole },
  objective: {
    weights: { itc: scale, itm: scale, itg: scale },
    labelSmoothing: probability,
    contrastGradient: choice('own', 'both'),
  },
  precision: choice('float32', 'bfloat16', 'float16'),
  clipNorm: orNull(positive),
  seed: whole,
};

/** Batch sizes of the paper's table: the larger tower leaves room for fewer pairs. */
const BATCH = { eva: 1680, clip: 2320 } as const;

/**
 * The paper's first stage (BLIP-2, §3.4): 250,000 steps of 1,680 pairs (ViT-g) or 2,320 (ViT-L) at 224 pixels, random resized crops and flips;
 * AdamW with β 0.9 and 0.98 and a decay of 0.05; 2,000 steps from 1e-6 up to 1e-4, then half a cosine, step by step, down to 1e-5. The
 * products of what is trained are in bfloat16, where LAVIS has float16.
 *
 * @example stage1({ vision: 'clip-vit-l', batchSize: 256, schedule: { peak: 5e-5 } })
 * @throws ArgumentError naming the field that there is not, or that is not as expected
 */
export function stage1(options: Stage1RecipeOptions): Stage1Recipe {
  const { vision: tower, model: modelOptions = {}, image: imageOptions, ...rest } = options;
  const vision = visionOf(tower);
  const { image: imageRules, ...rules } = RULES;
  const defaults: Omit<Stage1Recipe, 'vision' | 'model' | 'image'> = {
    visionDtype: 'bfloat16',
    text: { maxLength: 32 },
    steps: 250_000,
    batchSize: BATCH[vision.architecture],
    accumulation: 1,
    optimizer: { betas: [0.9, 0.98], eps: 1e-8, weightDecay: 0.05, decay: 'not-vectors' },
    schedule: { start: 1e-6, peak: 1e-4, floor: 1e-5, warmupSteps: 2000 },
    objective: { weights: { itc: 1, itm: 1, itg: 1 }, labelSmoothing: 0.1, contrastGradient: 'own' },
    precision: 'bfloat16',
    clipNorm: null,
    seed: 0,
  };
  const recipe: Stage1Recipe = {
    vision,
    model: modelOf(modelOptions, vision),
    image: imageOf(imageOptions, vision.config.imageSize, imageRules as Rules),
    ...overridden(defaults, rest, rules, 'recipe'),
  };
  check(recipe);
  return recipe;
}

/** The paper's ablation: the first stage without image-grounded text generation (BLIP-2, §4.4, table 6). */
export function stage1WithoutItg(options: Stage1RecipeOptions): Stage1Recipe {
  const { objective, ...rest } = options;
  return stage1({ ...rest, objective: { ...objective, weights: { ...objective?.weights, itg: 0 } } });
}

function visionOf(tower: Stage1RecipeOptions['vision']): VisionRecipe {
  if (tower === 'eva-vit-g') return { architecture: 'eva', config: parseVisionConfig({}) };
  if (tower === 'clip-vit-l') return { architecture: 'clip', config: parseClipVisionConfig({}) };
  const path = 'recipe.vision.config';
  if (typeof tower === 'object' && tower !== null) {
    const config = tower.config ?? {};
    if (tower.architecture === 'eva') {
      return { architecture: 'eva', config: configured(config, (json) => parseVisionConfig(json, ''), path) };
    }
    if (tower.architecture === 'clip') {
      return { architecture: 'clip', config: configured(config, (json) => parseClipVisionConfig(json, ''), path) };
    }
  }
  const expected = '"eva-vit-g", "clip-vit-l" or { architecture: "eva" | "clip", config }';
  throw new ArgumentError('recipe.vision', expected, shown(tower));
}

function modelOf(options: DeepPartial<PretrainingConfig>, vision: VisionRecipe): PretrainingConfig {
  const width = vision.config.hiddenSize;
  const given = options.qformerConfig?.encoderHiddenSize ?? width;
  if (given !== width) {
    throw new ArgumentError('recipe.model.qformerConfig.encoderHiddenSize', `${width}, the vision tower's width`, String(given));
  }
  const { visionLayerNormEps, ...rest } = options;
  const parse = (json: unknown): PretrainingConfig =>
    parsePretrainingConfig({
      ...(json as object),
      // Null stands for features that come normalised, for which the file has a field of its own.
      vision_layer_norm: visionLayerNormEps !== null,
      vision_layer_norm_eps: visionLayerNormEps ?? null,
    });
  return configured({ ...rest, qformerConfig: { ...options.qformerConfig, encoderHiddenSize: width } }, parse, 'recipe.model');
}

function imageOf(options: DeepPartial<ImageTransform> | undefined, size: number, rules: Rules): ImageTransform {
  const defaults = trainTransform({ size });
  const { crop, ...rest } = options ?? {};
  const image = overridden(defaults, rest, rules, 'recipe.image');
  if (crop === undefined) return trainTransform(image);
  const cropRules = rules.crop as Rules;
  return trainTransform({
    ...image,
    crop: crop === null ? null : overridden(defaults.crop ?? {}, crop, cropRules, 'recipe.image.crop'),
  } as ImageTransform);
}

function check(recipe: Stage1Recipe): void {
  const { batchSize, accumulation, steps, schedule, image, vision, text, model, objective } = recipe;
  if (batchSize % accumulation !== 0) {
    throw new ArgumentError('recipe.batchSize', `a multiple of recipe.accumulation (${accumulation})`, String(batchSize));
  }
  if (schedule.warmupSteps > steps) {
    throw new ArgumentError('recipe.schedule.warmupSteps', `at most recipe.steps (${steps})`, String(schedule.warmupSteps));
  }
  if (schedule.floor > schedule.peak) {
    throw new ArgumentError('recipe.schedule.floor', `at most recipe.schedule.peak (${schedule.peak})`, String(schedule.floor));
  }
  if (image.size !== vision.config.imageSize) {
    throw new ArgumentError('recipe.image.size', `${vision.config.imageSize}, as the vision tower has it`, String(image.size));
  }
  const most = model.qformerConfig.maxPositionEmbeddings;
  if (text.maxLength < 3 || text.maxLength > most) {
    throw new ArgumentError('recipe.text.maxLength', `from 3 to ${most}, the model's positions`, String(text.maxLength));
  }
  if (Object.values(objective.weights).every((weight) => weight === 0)) {
    throw new ArgumentError('recipe.objective.weights', 'one that is not 0', 'none');
  }
}
