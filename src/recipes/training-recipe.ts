import { type ImageTransform, trainTransform } from '../data/index.ts';
import { type ClipVisionConfig, parseClipVisionConfig, parseVisionConfig, type VisionConfig } from '../models/index.ts';
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

/** A tower, by its name or by what of its shape differs from the one of the paper. */
export type VisionOption =
  | VisionName
  | { readonly architecture: 'eva'; readonly config?: Partial<VisionConfig> }
  | { readonly architecture: 'clip'; readonly config?: Partial<ClipVisionConfig> };

/** What a run of either stage decides on. */
export interface TrainingRecipe {
  /** The shape of the frozen tower. */
  readonly vision: VisionRecipe;
  /** Number format of the frozen tower. */
  readonly visionDtype: 'float32' | 'bfloat16';
  /** What happens to a picture on its way. */
  readonly image: ImageTransform;
  /** Optimizer steps. */
  readonly steps: number;
  /** Pairs an optimizer step. */
  readonly batchSize: number;
  /** Batches that an optimizer step is divided into. What contrasts pairs does so within each. */
  readonly accumulation: number;
  /** AdamW's settings. */
  readonly optimizer: Pick<AdamWSettings, 'betas' | 'eps' | 'weightDecay'> & Required<Pick<DecayOptions, 'decay'>>;
  /** Learning rate by step. The warm-up has the paper's 2,000 steps, or a tenth of all where these are fewer than 20,000, unless told. */
  readonly schedule: Required<Omit<WarmupCosine, 'totalSteps'>>;
  /** Of the products in what is trained. */
  readonly precision: Precision;
  /** Largest norm of all gradients together; null for any, as in the official code. */
  readonly clipNorm: number | null;
  /** Of new weights, of the data's order, and of all that is drawn in training. */
  readonly seed: number;
}

const range = listOf(2, positive);
const deviation = listOf(3, positive);
const mean = listOf(3, { fits: (value) => Number.isFinite(value), expected: 'a number' });

const IMAGE_RULES: Rules = {
  size: count,
  crop: { scale: range, ratio: range },
  flip: { fits: (value) => typeof value === 'number' && value >= 0 && value <= 1, expected: 'a probability' },
  imageMean: mean,
  imageStd: deviation,
  applyOrientation: flag,
};

/** Rules of the fields of either stage but tower and pictures. */
export const TRAINING_RULES: Rules = {
  visionDtype: choice('float32', 'bfloat16'),
  steps: count,
  batchSize: count,
  accumulation: count,
  optimizer: { betas: listOf(2, probability), eps: scale, weightDecay: scale, decay: choice('not-vectors', 'matrices') },
  schedule: { start: scale, peak: positive, floor: scale, warmupSteps: whole },
  precision: choice('float32', 'bfloat16', 'float16'),
  clipNorm: orNull(positive),
  seed: whole,
};

/** Fields that no rule is for, as more than their kind is looked at. */
export const OTHER_FIELDS: readonly string[] = ['vision', 'model', 'image'];

/** Steps of the warm-up unless told: the paper's 2,000, or a tenth of the steps where these are fewer than 20,000. */
export function warmupOf(steps: number): number {
  return Math.min(2000, Math.floor(steps / 10));
}

/** @throws ArgumentError for what is no tower, or a field of its shape that is not as expected */
export function visionOf(tower: VisionOption): VisionRecipe {
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

/** What happens to pictures of a tower's size, with what was given in its place. */
export function imageOf(options: DeepPartial<ImageTransform> | undefined, size: number): ImageTransform {
  const defaults = trainTransform({ size });
  const { crop, ...rest } = options ?? {};
  const { crop: cropRules, ...rules } = IMAGE_RULES;
  const image = overridden(defaults, rest, rules, 'recipe.image', ['crop']);
  const part = crop && overridden(defaults.crop ?? {}, crop, cropRules as Rules, 'recipe.image.crop');
  try {
    return trainTransform({ ...image, ...(crop === undefined ? {} : { crop: part }) } as ImageTransform);
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    throw new ArgumentError(`recipe.image.${error.argument}`, error.expected, error.received, { cause: error });
  }
}

/**
 * A model's shape from what was given of it, beside the tower that it reads.
 * @param parse reads the shape under the names of configuration files
 */
export function modelOf<
  T extends { readonly qformerConfig: { readonly encoderHiddenSize: number }; readonly visionLayerNormEps: number | null },
>(options: DeepPartial<T>, vision: VisionRecipe, parse: (json: unknown) => T): T {
  type Given = { qformerConfig?: { encoderHiddenSize?: number }; visionLayerNormEps?: number | null };
  const { visionLayerNormEps, ...rest } = options as Given;
  const width = vision.config.hiddenSize;
  const given = rest.qformerConfig?.encoderHiddenSize ?? width;
  if (given !== width) {
    throw new ArgumentError('recipe.model.qformerConfig.encoderHiddenSize', `${width}, the vision tower's width`, String(given));
  }
  const whole = (json: unknown): T =>
    parse({
      ...(json as object),
      // Null stands for features that come normalised, for which the file has a field of its own.
      vision_layer_norm: visionLayerNormEps !== null,
      vision_layer_norm_eps: visionLayerNormEps ?? null,
    });
  return configured({ ...rest, qformerConfig: { ...rest.qformerConfig, encoderHiddenSize: width } }, whole, 'recipe.model');
}

/** What no field says by itself. @throws ArgumentError naming the field that does not fit the others */
export function checkTraining({ batchSize, accumulation, steps, schedule, image, vision }: TrainingRecipe): void {
  if (batchSize % accumulation !== 0) {
    throw new ArgumentError('recipe.batchSize', `a multiple of recipe.accumulation (${accumulation})`, String(batchSize));
  }
  if (schedule.warmupSteps > steps) {
    throw new ArgumentError('recipe.schedule.warmupSteps', `at most recipe.steps (${steps})`, String(schedule.warmupSteps));
  }
  for (const name of ['start', 'floor'] as const) {
    if (schedule[name] <= schedule.peak) continue;
    throw new ArgumentError(`recipe.schedule.${name}`, `at most recipe.schedule.peak (${schedule.peak})`, String(schedule[name]));
  }
  if (image.size !== vision.config.imageSize) {
    throw new ArgumentError('recipe.image.size', `${vision.config.imageSize}, as the vision tower has it`, String(image.size));
  }
}
