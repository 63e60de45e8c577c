import fs from 'node:fs';
import path from 'node:path';
import { evalTransform, ImageProcessor, type ImageSource, type ImageTransform, Tokenizer } from '../data/index.ts';
import type { GenerateOptions } from '../generate/index.ts';
import { Blip2ForPretraining, loadVisionTower } from '../models/index.ts';
import { anObject, aPath, checkArgument, optional } from '../native/arguments.ts';
import { FileError } from '../native/errors.ts';
import { building } from '../nn/index.ts';
import type { Device } from '../tensor/index.ts';
import { FrozenEncoder, loadTrained } from '../train/index.ts';
import { findRun } from './open-run.ts';
import { TOKENIZER } from './run.ts';
import { STAGE1 } from './run-stage1.ts';
import { type Stage1Recipe, type Stage1RecipeOptions, stage1 } from './stage1.ts';
import { captionsOf } from './stage1-captions.ts';

/** Options of {@link openStage1}. */
export interface OpenRunOptions {
  /** `'cpu'` unless told. */
  device?: Device;
  /** `'last'` (unless told), `'best'` or a step. */
  checkpoint?: string | number;
  /** The tower's weights, where those that the run was told have been moved. */
  visionWeights?: string | undefined;
}

/** A model of the first stage, as a run has left it. */
export interface TrainedStage1 {
  /** What it was trained by. */
  readonly recipe: Stage1Recipe;
  /** In evaluation mode. */
  readonly model: Blip2ForPretraining;
  /** The frozen tower that it was trained over. */
  readonly encoder: FrozenEncoder;
  /** Of its texts. */
  readonly tokenizer: Tokenizer;
  /** Whole pictures as the run has them. */
  readonly transform: ImageTransform;
  /**
   * A caption for each picture, by image-grounded text generation; 3 beams and 10 to 30 tokens unless told, as LAVIS has it, and 8 pictures
   * at a time.
   * @throws ImageError for a picture that cannot be decoded; ArgumentError for a wrong option; the signal's reason once that is aborted
   */
  caption(images: readonly ImageSource[], options?: GenerateOptions & { batchSize?: number | undefined }): Promise<string[]>;
  /** Nothing beside that: `evaluateCaptions` lets it write in its own way. */
  readonly captionDefaults: Readonly<Record<string, never>>;
  /** Frees model and encoder. */
  dispose(): void;
}

/**
 * Opens a run of the first stage, or one of its checkpoints, to work with.
 * @param folder of the run, or of a checkpoint
 * @throws FileError for what is none; ArgumentError for a checkpoint that is not there; StateDictError where weights do not fit
 */
export function openStage1(folder: string, options: OpenRunOptions = {}): TrainedStage1 {
  checkArgument('options', options, anObject);
  const { device = 'cpu', checkpoint: which = 'last' } = options;
  const run = findRun(folder, STAGE1, which);
  const { recipe, visionWeights: told } = readSettings(run.folder, run.settings);
  const visionWeights = towerWeights(told, options.visionWeights);
  const model = building({ device }, () => new Blip2ForPretraining(recipe.model));
  loadTrained(run.checkpoint, model);
  const { visionDtype: dtype, image } = recipe;
  const encoder = new FrozenEncoder(loadVisionTower(recipe.vision, visionWeights, { dtype, device }), dtype);
  const tokenizer = Tokenizer.fromPretrained(path.join(run.folder, TOKENIZER));
  const transform = evalTransform({ ...image, crop: null, flip: 0 });
  const { size, imageMean, imageStd } = transform;
  const processor = new ImageProcessor({ size: { height: size, width: size }, imageMean, imageStd });
  model.eval();
  return {
    recipe,
    model,
    encoder,
    tokenizer,
    transform,
    async caption(images, { batchSize = 8, ...generation } = {}) {
      const captions: string[] = [];
      for (let i = 0; i < images.length; i += batchSize) {
        const part = images.slice(i, i + batchSize);
        using pixelValues = await processor.preprocess(part, { applyOrientation: transform.applyOrientation });
        using imageFeatures = encoder.encode(pixelValues);
        captions.push(...(await captionsOf(model, imageFeatures, tokenizer, generation)));
      }
      return captions;
    },
    captionDefaults: {},
    dispose() {
      model.dispose();
      encoder.dispose();
    },
  };
}

/**
 * Where a run's tower is: as it was told, or where somebody says that it has been moved.
 * @throws FileError where it is not
 */
export function towerWeights(told: string, moved: string | undefined): string {
  checkArgument('visionWeights', moved, optional(aPath));
  const place = moved ?? told;
  if (fs.existsSync(place)) return place;
  const remedy =
    moved === undefined ? ' any more, where the run had them: visionWeights (--vision-weights) says where they are now' : '';
  throw new FileError(place, `there are no weights of the vision tower${remedy}`);
}

/** The recipe and the tower's weights among a run's settings, which stand in a file. */
export function readSettings(folder: string, settings: object): { recipe: Stage1Recipe; visionWeights: string } {
  const given = settings as Stage1RecipeOptions & { visionWeights?: unknown };
  const { visionWeights } = given;
  if (typeof visionWeights !== 'string') throw new FileError(path.join(folder, 'run.json'), 'expected a path for visionWeights');
  const fields = Object.keys(stage1({ vision: 'eva-vit-g' }));
  const own = Object.fromEntries(Object.entries(given).filter(([name]) => fields.includes(name)));
  return { recipe: stage1(own as unknown as Stage1RecipeOptions), visionWeights };
}
