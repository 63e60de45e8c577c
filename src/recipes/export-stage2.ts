import path from 'node:path';
import { Blip2Processor, ImageProcessor, Tokenizer } from '../data/index.ts';
import { writeModelFolder } from '../models/checkpoint.ts';
import {
  assembleBlip2,
  type Blip2ForConditionalGeneration,
  type Blip2Parts,
  loadLanguageModel,
  loadTrainedParts,
  loadVisionTower,
  type SavePretrainedOptions,
  type VisionModel,
} from '../models/index.ts';
import { anObject, checkArgument, having } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import type { Device, Dtype } from '../tensor/index.ts';
import { readRecipe } from '../train/checkpoint.ts';
import { CheckpointFolder } from '../train/index.ts';
import { type Stage2Recipe, type Stage2RecipeOptions, stage2 } from './stage2.ts';
import { newStage2Model } from './train-stage2.ts';

/** Where the parts of a run of the second stage are. */
export interface Stage2Files {
  /** A checkpoint of the run, or the run's folder for its last one; or, with `recipe`, a file of LAVIS's second stage (`.pth`). */
  checkpoint: string;
  /** The tower's weights: a file or folder as `loadVisionTower` takes it. */
  visionWeights: string;
  /** The language model's folder. */
  languageModel: string;
  /** The tokenizer's folder; the language model's unless told. */
  tokenizer?: string;
  /** What the run was told; as the checkpoint says unless told. */
  recipe?: Stage2Recipe;
}

/** The parts of a BLIP-2 after the second stage, and what belongs to them. */
export interface Stage2Whole extends Blip2Parts {
  /** What of the run's recipe the whole model keeps: the pictures' size, and what ends a text. */
  readonly recipe: Pick<Stage2Recipe, 'image' | 'text'>;
  /** The language model's. */
  readonly tokenizer: Tokenizer;
}

/** How {@link loadStage2} loads. */
export interface LoadStage2Options {
  /** Of the frozen parts; as the recipe says unless told. */
  dtype?: 'float32' | 'bfloat16';
  /** `'cpu'` unless told. */
  device?: Device;
}

/**
 * Loads what a run of the second stage has trained, or LAVIS has, beside the frozen models' own files. All parts are in evaluation mode, and
 * the caller's to dispose of. The language model is run as the recipe says, which for T5 may be with another activation than its folder's.
 * @throws FileError, StateDictError, ArgumentError for files that are missing, not as expected, or of another model
 */
export function loadStage2(files: Stage2Files, options: LoadStage2Options = {}): Stage2Whole {
  checkArgument('files', files, having('checkpoint', 'visionWeights', 'languageModel'));
  checkArgument('options', options, anObject);
  const { device = 'cpu', dtype } = options;
  const checkpoint = new CheckpointFolder(path.join(files.checkpoint, 'checkpoints')).latest() ?? files.checkpoint;
  const recipe = files.recipe ?? stage2(readRecipe(checkpoint) as unknown as Stage2RecipeOptions);
  const tokenizer = Tokenizer.fromPretrained(files.tokenizer ?? files.languageModel);
  const trained = newStage2Model(recipe, device).eval();
  loadTrainedParts(trained, checkpoint);
  const tower = loadVisionTower(recipe.vision, files.visionWeights, { dtype: dtype ?? recipe.visionDtype, device });
  // What is no EVA-CLIP, `assembleBlip2` refuses.
  const visionModel = tower as VisionModel;
  const { languageModelDtype, languageModel: shape } = recipe;
  const languageModel = loadLanguageModel(files.languageModel, { dtype: dtype ?? languageModelDtype, device, shape });
  return { recipe, tokenizer, trained, visionModel, languageModel };
}

/**
 * One model of the parts, which share their memory with it, and what makes its input of pictures and text. Text ends where the recipe's
 * captions end.
 * @throws ArgumentError where the parts do not fit together, or the tokenizer leaves no word of the language model for `<image>`
 */
export function assembleStage2(whole: Stage2Whole): { model: Blip2ForConditionalGeneration; processor: Blip2Processor } {
  checkArgument('whole', whole, having('recipe', 'tokenizer', 'trained', 'visionModel', 'languageModel'));
  const { recipe, tokenizer, trained, languageModel } = whole;
  const { size, imageMean, imageStd } = recipe.image;
  const imageProcessor = new ImageProcessor({ size: { height: size, width: size }, imageMean, imageStd });
  const processor = new Blip2Processor(imageProcessor, tokenizer, trained.config.numQueryTokens);
  const { imageTokenId } = processor;
  const { vocabSize } = languageModel.config;
  if (imageTokenId >= vocabSize) {
    const expected = `one whose <image> is below the language model's ${vocabSize} words`;
    throw new ArgumentError('tokenizer', expected, `one whose <image> is ${imageTokenId}`);
  }
  const { end } = recipe.text;
  const eosTokenId = end === '' ? undefined : tokenizer.encode(end, { addSpecialTokens: false }).inputIds[0]?.[0];
  // T5's configurations name no first token; in an empty prompt, its tokenizer's end token is the first.
  const bosTokenId = tokenizer.encode('').inputIds[0]?.[0];
  const ids = {
    imageTokenIndex: imageTokenId,
    ...(eosTokenId === undefined ? {} : { eosTokenId }),
    ...(bosTokenId === undefined ? {} : { bosTokenId }),
  };
  return { model: assembleBlip2(whole, ids), processor };
}

/** Options of {@link exportStage2}. */
export interface ExportOptions extends SavePretrainedOptions {
  /** Of everything in the files; each part's own unless told. */
  dtype?: Dtype;
}

/**
 * Writes a whole BLIP-2 as Hugging Face's `Blip2ForConditionalGeneration` and `Blip2Processor` read it, and `Blip2.fromPretrained` does: frozen
 * and trained weights, configuration, tokenizer, and how pictures are processed. The parts stay as they are. The folder appears whole or not at all, as
 * `savePretrained` says.
 * @throws ArgumentError as {@link assembleStage2} does; FileError where the folder cannot be written
 */
export function exportStage2(whole: Stage2Whole, directory: string, options: ExportOptions = {}): void {
  checkArgument('options', options, anObject);
  const { dtype, ...saving } = options;
  const { model, processor } = assembleStage2(whole);
  try {
    if (dtype !== undefined) model.to(dtype);
    writeModelFolder(directory, (place) => {
      model.savePretrained(place, saving);
      processor.savePretrained(place);
    });
  } finally {
    model.dispose();
  }
}
