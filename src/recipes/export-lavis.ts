import path from 'node:path';
import { readLanguageConfig, readVisionTowerConfig, type TextConfig } from '../models/index.ts';
import { anObject, aPath, checkArgument, defined, having } from '../native/arguments.ts';
import { ArgumentError, FileError } from '../native/errors.ts';
import { openWeights } from '../tensor/index.ts';
import { exportStage2, loadStage2 } from './export-stage2.ts';
import type { DeepPartial } from './fields.ts';
import { type Stage2Recipe, type Stage2RecipeOptions, stage2 } from './stage2.ts';
import type { VisionOption } from './training-recipe.ts';

/** Where the parts of a BLIP-2 that LAVIS has trained are. */
export interface LavisFiles {
  /** LAVIS's file of the second stage, such as `blip2_pretrained_opt2.7b.pth`. */
  checkpoint: string;
  /** The folder of the language model that it was trained with. */
  languageModel: string;
  /** The tower's weights, such as `eva_vit_g.pth`, or a folder; those of `checkpoint` unless told, if it has a tower, or of `vision`, if that is a folder. */
  visionWeights?: string | undefined;
  /** The tokenizer's folder; the language model's unless told. */
  tokenizer?: string | undefined;
}

/** What {@link lavisRecipe} is told that the file does not say. */
export interface LavisRecipeOptions extends Omit<Stage2RecipeOptions, 'languageModel' | 'from' | 'vision'> {
  /** The tower; EVA-CLIP's ViT-g unless told, in the size of the file's own one. A folder of Hugging Face's says its shape. */
  vision?: VisionOption | (string & {}) | undefined;
}

/** Options of {@link exportLavis}: what the file does not say, and how it is written. */
export interface ExportLavisOptions extends LavisRecipeOptions {
  /** Of all weights; float32 unless told. */
  dtype?: 'float32' | 'bfloat16' | 'float16' | undefined;
}

/** What {@link exportLavis} has written. */
export interface ExportedLavis {
  /** Of which stage the file was. */
  readonly stage: 'stage2';
  /** The file. */
  readonly checkpoint: string;
  /** What was written. */
  readonly format: 'hf';
  /** The new folder, as an absolute path. */
  readonly target: string;
}

/**
 * Writes what LAVIS's second stage has trained, with the frozen models that its file leaves out, as Hugging Face's `Blip2ForConditionalGeneration`:
 * weights, configuration, tokenizer and how pictures are processed. It appears whole or not at all, as `savePretrained` says.
 * @throws FileError, StateDictError, ArgumentError for files that are missing, not as expected, or do not fit together
 * @example exportLavis({ checkpoint: 'blip2_pretrained_opt2.7b.pth', visionWeights: 'eva_vit_g.pth', languageModel: 'opt-2.7b' }, 'my-blip2')
 */
export function exportLavis(files: LavisFiles, target: string, options: ExportLavisOptions = {}): ExportedLavis {
  checkArgument('files', files, having('checkpoint', 'languageModel'));
  checkArgument('target', target, aPath);
  checkArgument('options', options, anObject);
  const { checkpoint, languageModel, tokenizer } = files;
  const { dtype = 'float32', ...given } = options;
  const dtypes: readonly unknown[] = ['float32', 'bfloat16', 'float16'];
  if (!dtypes.includes(dtype)) throw new ArgumentError('run.dtype', 'float32, bfloat16 or float16', JSON.stringify(dtype));
  const recipe = lavisRecipe(checkpoint, languageModel, given);
  const visionWeights = files.visionWeights ?? (isFolderName(given.vision) ? given.vision : ownTower(checkpoint));
  const parts = { checkpoint, visionWeights, languageModel, recipe, ...(tokenizer === undefined ? {} : { tokenizer }) };
  const whole = loadStage2(parts, { dtype: dtype === 'bfloat16' ? dtype : 'float32' });
  try {
    exportStage2(whole, target, { dtype });
  } finally {
    for (const part of [whole.trained, whole.visionModel, whole.languageModel]) part.dispose();
  }
  return { stage: 'stage2', checkpoint: path.resolve(checkpoint), format: 'hf', target: path.resolve(target) };
}

/**
 * The recipe that a file of LAVIS's second stage stands for, as far as a model is loaded by it: shapes as the file has them, the rest as in the paper.
 * T5 is run with the exact gelu, as LAVIS runs it.
 * @param languageModel the folder of the language model that it was trained with
 * @throws FileError for a file of something else, or of another kind of language model; ArgumentError naming a field of the recipe
 */
export function lavisRecipe(checkpoint: string, languageModel: string, options: LavisRecipeOptions = {}): Stage2Recipe {
  checkArgument('checkpoint', checkpoint, aPath);
  checkArgument('languageModel', languageModel, aPath);
  checkArgument('options', options, anObject);
  const { vision, model = {}, ...rest } = options;
  const { numQueryTokens, qformerConfig, tower, projections } = readShapes(checkpoint);
  const language = readLanguageConfig(languageModel);
  // Two kinds may have the same width, as opt-6.7b and flan-t5-xxl.
  if (!projections.includes(`${language.modelType}_proj`)) {
    const found = `the file has ${projections.join(', ')}`;
    throw new FileError(
      checkpoint,
      `expected ${language.modelType}_proj for the ${language.modelType} in ${languageModel} but ${found}`,
    );
  }
  return stage2({
    ...rest,
    vision: isFolderName(vision) ? readVisionTowerConfig(vision) : (vision ?? { architecture: 'eva', config: tower ?? {} }),
    languageModel: asLavis(language),
    model: { numQueryTokens, ...model, qformerConfig: { ...qformerConfig, ...model.qformerConfig } },
  });
}

/** Whatever the folder says, LAVIS sets T5's activation. */
function asLavis(config: TextConfig): TextConfig {
  return 'denseActFn' in config ? { ...config, denseActFn: 'gelu' } : config;
}

function isFolderName(vision: LavisRecipeOptions['vision']): vision is string {
  return typeof vision === 'string' && vision !== 'eva-vit-g' && vision !== 'clip-vit-l';
}

/** A file with a tower in it, whose tower was trained too. */
function ownTower(checkpoint: string): string {
  if (readShapes(checkpoint).tower !== undefined) return checkpoint;
  throw new ArgumentError(
    'run.visionWeights',
    "the frozen tower's weights, such as eva_vit_g.pth, which the file has not,",
    'none',
  );
}

interface Shapes {
  readonly numQueryTokens: number;
  readonly qformerConfig: DeepPartial<Stage2Recipe['model']['qformerConfig']>;
  /** Undefined where the tower was frozen, and so left out. */
  readonly tower: object | undefined;
  /** What it calls the projection to the language model, `opt_proj` or `t5_proj`. */
  readonly projections: readonly string[];
}

const LAYER = /^Qformer\.bert\.encoder\.layer\.(\d+)\.(crossattention\.)?/;

/** What a file's shapes say; heads are none of it. */
function readShapes(checkpoint: string): Shapes {
  const file = openWeights(checkpoint);
  try {
    const root = file.has('model.query_tokens') ? 'model.' : '';
    const names = file.names.filter((name) => name.startsWith(root)).map((name) => name.slice(root.length));
    const projections = names.flatMap((name) => /^(?!vision_|text_)(\w+_proj)\.weight$/.exec(name)?.[1] ?? []);
    if (!names.includes('query_tokens') || projections.length === 0) {
      const found = names.some((name) => name.startsWith('Qformer.')) ? 'one of the first, or of another model' : 'another';
      throw new FileError(
        checkpoint,
        `expected a file of LAVIS's second stage, with query_tokens and a projection to the language model, but it is ${found}`,
      );
    }
    const size = (name: string, dimension: number): number | undefined =>
      file.has(root + name) ? file.info(root + name).shape[dimension] : undefined;
    const layers = names.flatMap((name) => {
      const match = LAYER.exec(name);
      return match === null ? [] : [{ layer: Number(match[1]), crosses: match[2] !== undefined }];
    });
    const last = Math.max(-1, ...layers.map(({ layer }) => layer));
    const crossing = [...new Set(layers.flatMap(({ layer, crosses }) => (crosses ? [layer] : [])))].sort((a, b) => a - b);
    return {
      numQueryTokens: size('query_tokens', 1) as number,
      qformerConfig: defined({
        hiddenSize: size('query_tokens', 2),
        numHiddenLayers: last + 1,
        intermediateSize: size('Qformer.bert.encoder.layer.0.intermediate_query.dense.weight', 0),
        crossAttentionFrequency: crossing[1] ?? last + 1,
      }),
      tower: towerOf(names, size),
      projections,
    };
  } finally {
    file.close();
  }
}

function towerOf(names: readonly string[], size: (name: string, dimension: number) => number | undefined): object | undefined {
  const of = 'visual_encoder.';
  const positions = size(`${of}pos_embed`, 1);
  const patchSize = size(`${of}patch_embed.proj.weight`, 2);
  if (positions === undefined || patchSize === undefined) return undefined;
  const blocks = names.flatMap((name) => /^visual_encoder\.blocks\.(\d+)\./.exec(name)?.[1] ?? []);
  return defined({
    imageSize: Math.round(Math.sqrt(positions - 1)) * patchSize,
    patchSize,
    hiddenSize: size(`${of}pos_embed`, 2),
    intermediateSize: size(`${of}blocks.0.mlp.fc1.weight`, 0),
    numHiddenLayers: Math.max(...blocks.map(Number)) + 1,
  });
}
