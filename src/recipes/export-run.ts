import path from 'node:path';
import { ImageProcessor, Tokenizer } from '../data/index.ts';
import { writeModelFolder } from '../models/checkpoint.ts';
import { Blip2ForPretraining, loadVisionTower, saveLavis, type VisionModel } from '../models/index.ts';
import { anObject, aPath, checkArgument, optional } from '../native/arguments.ts';
import { ArgumentError, FileError } from '../native/errors.ts';
import { building } from '../nn/index.ts';
import { loadTrained } from '../train/index.ts';
import { exportStage2, loadStage2 } from './export-stage2.ts';
import { findRun, modelKind, type SavedRun } from './open-run.ts';
import { readSettings, towerWeights } from './open-stage1.ts';
import { TOKENIZER } from './run.ts';
import { STAGE1 } from './run-stage1.ts';
import { STAGE2 } from './run-stage2.ts';

/** Options of {@link exportRun}. */
export interface ExportRunOptions {
  /** `'last'` (unless told), `'best'` or a step. */
  checkpoint?: string | number;
  /** `'hf'` (unless told): a folder as Hugging Face reads it. `'lavis'`: a file of what is trained, under LAVIS's names; of the first stage. */
  format?: 'hf' | 'lavis';
  /** Of the weights; float32 (stage 1), or each part's own (stage 2), unless told. */
  dtype?: 'float32' | 'bfloat16' | 'float16';
  /** The tower's weights, where those that the run was told have been moved. */
  visionWeights?: string | undefined;
  /** Of the second stage: the language model's folder, where it has been moved. */
  languageModel?: string | undefined;
}

/** What {@link exportRun} has written. */
export interface ExportedRun {
  /** Of the run. */
  readonly stage: 'stage1' | 'stage2';
  /** The folder of the checkpoint that was taken. */
  readonly checkpoint: string;
  /** As told. */
  readonly format: 'hf' | 'lavis';
  /** The new folder or file, as an absolute path. */
  readonly target: string;
}

/**
 * Writes what a run has trained for other programs, as the command line does: of the first stage Hugging Face's
 * `Blip2ForImageTextRetrieval` (with a file beside it for the rest), of the second `Blip2ForConditionalGeneration`, tokenizer and picture settings
 * included. It appears whole or not at all, as `savePretrained` says.
 *
 * @param place the run's folder, or that of one of its checkpoints
 * @param target the new folder; with `'lavis'` the file
 * @throws FileError, ArgumentError, StateDictError for what is no run, or cannot be exported
 */
export function exportRun(place: string, target: string, options: ExportRunOptions = {}): ExportedRun {
  checkArgument('place', place, aPath);
  checkArgument('target', target, aPath);
  checkArgument('options', options, anObject);
  const { checkpoint = 'last', format = 'hf', dtype } = options;
  if (format !== 'hf' && format !== 'lavis') throw new ArgumentError('run.format', 'hf or lavis', JSON.stringify(format));
  const dtypes: readonly unknown[] = ['float32', 'bfloat16', 'float16', undefined];
  if (!dtypes.includes(dtype)) throw new ArgumentError('run.dtype', 'float32, bfloat16 or float16', JSON.stringify(dtype));
  const stage = modelKind(place, ['stage1', 'stage2']) === 'stage1' ? STAGE1 : STAGE2;
  const run = findRun(place, stage, checkpoint);
  if (stage === STAGE1 && options.languageModel !== undefined)
    throw new ArgumentError('run.languageModel', 'none, as this is a run of stage 1,', options.languageModel);
  if (stage === STAGE1) writeStage1(run, target, format, options);
  else if (format === 'lavis') throw new ArgumentError('run.format', 'hf, as this is a run of stage 2,', 'lavis');
  else writeStage2(run, target, options);
  return { stage, checkpoint: run.checkpoint, format, target: path.resolve(target) };
}

function writeStage1(
  { folder, checkpoint, settings }: SavedRun,
  target: string,
  format: string,
  { dtype = 'float32', visionWeights: moved }: ExportRunOptions,
) {
  const { recipe, visionWeights } = readSettings(folder, settings);
  const model = building({}, () => new Blip2ForPretraining(recipe.model));
  loadTrained(checkpoint, model);
  model.to(dtype);
  try {
    if (format === 'lavis') return saveLavis(model, target);
    // Only EVA-CLIP's tower has a place there, which is said before its weights are read.
    if (recipe.vision.architecture !== 'eva') {
      throw new ArgumentError('run.format', "lavis, as Hugging Face's BLIP-2 has no other tower than EVA-CLIP's,", 'hf');
    }
    const tokenizer = Tokenizer.fromPretrained(path.join(folder, TOKENIZER));
    const visionModel = loadVisionTower(recipe.vision, towerWeights(visionWeights, moved), { dtype }) as VisionModel;
    const { size, imageMean, imageStd } = recipe.image;
    writeModelFolder(target, (place) => {
      model.savePretrained(place, { visionModel });
      visionModel.dispose();
      new ImageProcessor({ size: { height: size, width: size }, imageMean, imageStd }).savePretrained(place);
      tokenizer.savePretrained(place);
    });
  } finally {
    model.dispose();
  }
}

function writeStage2(
  { folder, checkpoint, settings }: SavedRun,
  target: string,
  { dtype, languageModel, visionWeights: moved }: ExportRunOptions,
): void {
  checkArgument('languageModel', languageModel, optional(aPath));
  const { visionWeights: told, languageModelWeights: ownModel } = settings as Record<string, unknown>;
  const languageModelWeights = languageModel ?? ownModel;
  const visionWeights = typeof told === 'string' ? towerWeights(told, moved) : moved;
  if (typeof visionWeights !== 'string' || typeof languageModelWeights !== 'string') {
    throw new FileError(path.join(folder, 'run.json'), 'expected paths for visionWeights and languageModelWeights');
  }
  const files = { checkpoint, visionWeights, languageModel: languageModelWeights, tokenizer: path.join(folder, TOKENIZER) };
  const whole = loadStage2(files, dtype === undefined || dtype === 'float16' ? {} : { dtype });
  try {
    exportStage2(whole, target, dtype === undefined ? {} : { dtype });
  } finally {
    for (const part of [whole.trained, whole.visionModel, whole.languageModel]) part.dispose();
  }
}
