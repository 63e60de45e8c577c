import { type PretrainingConfig, parsePretrainingConfig } from '../models/index.ts';
import { anObject, checkArgument } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { choice, count, type DeepPartial, overridden, probability, type Rules, scale } from './fields.ts';
import {
  checkTraining,
  imageOf,
  modelOf,
  OTHER_FIELDS,
  TRAINING_RULES,
  type TrainingRecipe,
  type VisionOption,
  visionOf,
  warmupOf,
} from './training-recipe.ts';

/** A run of BLIP-2's first stage: all that decides on its numbers. Plain data, to be saved with the run. */
export interface Stage1Recipe extends TrainingRecipe {
  /** The shape of what is trained. */
  readonly model: PretrainingConfig;
  /** How captions become tokens. */
  readonly text: {
    /** Tokens at most, `[CLS]` and `[SEP]` included. */
    readonly maxLength: number;
  };
  /** What is minimised, as `stage1Loss` takes it. */
  readonly objective: {
    /** 0 leaves an objective out. */
    readonly weights: { readonly itc: number; readonly itm: number; readonly itg: number };
    readonly labelSmoothing: number;
    readonly contrastGradient: 'own' | 'both';
  };
}

/** What {@link stage1} is told: the tower, and any fields that are to differ from the paper's. */
export type Stage1RecipeOptions = DeepPartial<Omit<Stage1Recipe, 'vision'>> & { vision: VisionOption };

const RULES: Rules = {
  ...TRAINING_RULES,
  text: { maxLength: count },
  objective: {
    weights: { itc: scale, itm: scale, itg: scale },
    labelSmoothing: probability,
    contrastGradient: choice('own', 'both'),
  },
};

/** Batch sizes of the paper's table: the larger tower leaves room for fewer pairs. */
const BATCH = { eva: 1680, clip: 2320 } as const;

/**
 * The paper's first stage (BLIP-2, §3.4): 250,000 steps of 1,680 pairs (ViT-g) or 2,320 (ViT-L) at 224 pixels, random resized crops and flips;
 * AdamW with β 0.9 and 0.98 and a decay of 0.05; 2,000 steps (a tenth of a run of fewer than 20,000) from 1e-6 up to 1e-4, then half a
 * cosine, step by step, down to 1e-5. The products of what is trained are in bfloat16, where LAVIS has float16. So it is on every device: what suits one
 * that is slow in bfloat16, `stage1Run` alone chooses.
 *
 * @example stage1({ vision: 'clip-vit-l', batchSize: 256, schedule: { peak: 5e-5 } })
 * @throws ArgumentError naming the field that there is not, or that is not as expected
 */
export function stage1(options: Stage1RecipeOptions): Stage1Recipe {
  checkArgument('options', options, anObject);
  const { vision: tower, model: modelOptions = {}, image: imageOptions, ...rest } = options;
  const { steps = 250_000 } = rest;
  const vision = visionOf(tower);
  const defaults: Omit<Stage1Recipe, 'vision' | 'model' | 'image'> = {
    visionDtype: 'bfloat16',
    text: { maxLength: 32 },
    steps,
    batchSize: BATCH[vision.architecture],
    accumulation: 1,
    optimizer: { betas: [0.9, 0.98], eps: 1e-8, weightDecay: 0.05, decay: 'not-vectors' },
    schedule: { start: 1e-6, peak: 1e-4, floor: 1e-5, warmupSteps: warmupOf(steps) },
    objective: { weights: { itc: 1, itm: 1, itg: 1 }, labelSmoothing: 0.1, contrastGradient: 'own' },
    precision: 'bfloat16',
    clipNorm: null,
    seed: 0,
  };
  const recipe: Stage1Recipe = {
    vision,
    model: modelOf<PretrainingConfig>(modelOptions, vision, parsePretrainingConfig),
    image: imageOf(imageOptions, vision.config.imageSize),
    ...overridden(defaults, rest, RULES, 'recipe', OTHER_FIELDS),
  };
  check(recipe);
  return recipe;
}

/** The paper's ablation: the first stage without image-grounded text generation (BLIP-2, §4.4, table 6). */
export function stage1WithoutItg(options: Stage1RecipeOptions): Stage1Recipe {
  checkArgument('options', options, anObject);
  const { objective, ...rest } = options;
  return stage1({ ...rest, objective: { ...objective, weights: { ...objective?.weights, itg: 0 } } });
}

function check(recipe: Stage1Recipe): void {
  checkTraining(recipe);
  const { text, model, objective } = recipe;
  const most = model.qformerConfig.maxPositionEmbeddings;
  if (text.maxLength < 3 || text.maxLength > most) {
    throw new ArgumentError('recipe.text.maxLength', `from 3 to ${most}, the model's positions`, String(text.maxLength));
  }
  if (Object.values(objective.weights).every((weight) => weight === 0)) {
    throw new ArgumentError('recipe.objective.weights', 'one that is not 0', 'none');
  }
}
