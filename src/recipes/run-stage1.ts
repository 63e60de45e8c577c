import fs from 'node:fs';
import path from 'node:path';
import { Tokenizer } from '../data/index.ts';
import { bertQFormerConfig, initFromBert, readVisionTowerConfig } from '../models/index.ts';
import { anObject, checkArgument } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { setThreads } from '../tensor/index.ts';
import { captionEvaluation } from './caption-evaluation.ts';
import type { Rules } from './fields.ts';
import { chosenFormats } from './number-formats.ts';
import { retrievalEvaluation } from './retrieval-evaluation.ts';
import { checkFolder, lastCheckpoint, openRun, type Plan, type Run, type RunOptions, TOKENIZER } from './run.ts';
import {
  checkEvaluation,
  checkFeatures,
  checkGiven,
  checkNames,
  type GivenSettings,
  place,
  RUN_DEFAULTS,
  type RunSettings,
  runSettings,
  toldOf,
} from './run-settings.ts';
import { type Stage1Recipe, type Stage1RecipeOptions, stage1 } from './stage1.ts';
import { stage1Captions } from './stage1-captions.ts';
import { newStage1Model, stage1Trainer } from './train-stage1.ts';

/** What the first stage starts from. */
export interface Stage1Sources {
  /** The vision tower's weights: a file or folder as `loadVisionTower` takes it. Not needed where `vision` is a folder with weights. */
  readonly visionWeights: string;
  /** The folder of a BERT that the Q-Former starts from, or `'random'`. */
  readonly bert: string;
  /** The folder of the tokenizer; BERT's unless told. */
  readonly tokenizer: string;
}

/**
 * All that a run of the first stage is told, in one object: its own settings, the recipe's fields, and where its parts come from. `vision` may
 * also be a folder as Hugging Face has it, which says the tower's shape.
 */
export type Stage1Settings = GivenSettings &
  Partial<Stage1Sources> &
  Omit<Stage1RecipeOptions, 'vision'> & { vision: Stage1RecipeOptions['vision'] | (string & {}) };

/** @internal The name of a run's stage in its file. */
export const STAGE1 = 'stage1';
const RULES: Rules = { visionWeights: place, bert: place, tokenizer: place };
const NEEDED = { visionWeights: "a file or folder with the tower's weights", bert: "a BERT's folder, or random" };
const FORMATS = ['visionDtype', 'precision'] as const;
const VISION_NAMES = ['eva-vit-g', 'clip-vit-l'];

/**
 * Sets up a run of the first stage from settings alone, as the command line does. The folder `out` gets `run.json` (all that the run was
 * told), `tokenizer/`, `checkpoints/`, `log.jsonl` and TensorBoard's event files. Number formats that are not told are float32 where the device is not
 * fast in bfloat16, and else the paper's, as {@link stage1} has them.
 *
 * @throws ArgumentError naming a setting (`run.<name>`) or a field of the recipe (`recipe.<name>`); FileError for files that are missing or not
 *   as expected; StateDictError for weights of another shape
 */
export async function stage1Run(given: Stage1Settings, options: RunOptions = {}): Promise<Run<Stage1Recipe>> {
  checkArgument('given', given, anObject);
  checkArgument('options', options, anObject);
  const { resume = false } = options;
  const { recipe, settings, remark, tokenizerFolder } = plan(given, options);
  checkGiven(settings, NEEDED, resume);
  if (tokenizerFolder === undefined)
    throw new ArgumentError('run.tokenizer', "a tokenizer's folder, as there is no BERT,", 'none');
  checkFolder(settings.out, resume);
  const tokenizer = Tokenizer.fromPretrained(tokenizerFolder);
  checkWords(recipe, tokenizer);
  const { device, threads, bert, evaluation } = settings;
  if (threads !== null) setThreads(threads);
  const model = newStage1Model(recipe);
  if (bert !== 'random' && lastCheckpoint(settings.out) === null) initFromBert(model, bert);
  if (device !== 'cpu') model.to({ device });
  const { topK, captions: pictures } = evaluation;
  const precision = recipe.precision === 'float32' ? 'float32' : 'bfloat16';
  return openRun(
    { recipe, settings, remark },
    {
      stage: STAGE1,
      model,
      tokenizer,
      trainer: (run) => stage1Trainer(recipe, { ...run, model }),
      evaluations({ every, gallery, encoder, directory }) {
        if (gallery === null) return [];
        const retrieval = retrievalEvaluation(model, { every, gallery, encoder, tokenizer, topK, precision });
        if (pictures === 0) return [retrieval];
        const write = stage1Captions(model, { tokenizer, encoder });
        return [retrieval, captionEvaluation(write, { every, gallery, pictures, directory })];
      },
    },
    options,
  );
}

interface Stage1Plan extends Plan<Stage1Recipe, Stage1Sources> {
  readonly tokenizerFolder: string | undefined;
}

/** What would be run, from settings that need not be complete. */
function plan(given: Partial<Stage1Settings>, { resume = false, fastBfloat16 }: RunOptions): Stage1Plan {
  const { told, goesOn } = toldOf(given, STAGE1, resume);
  const { vision: tower = 'eva-vit-g', ...others } = told;
  checkNames(others, [...Object.keys(RULES), ...Object.keys(stage1Defaults())]);
  const isFolder = typeof tower === 'string' && !VISION_NAMES.includes(tower) && fs.existsSync(tower);
  if (typeof tower === 'string' && !VISION_NAMES.includes(tower) && !isFolder) {
    throw new ArgumentError('recipe.vision', `${VISION_NAMES.join(', ')} or a folder`, JSON.stringify(tower));
  }
  const [own, rest] = runSettings<Partial<Stage1Sources>>(others, RULES, isFolder ? { visionWeights: tower } : {});
  const { visionWeights, bert, tokenizer = bert === 'random' ? undefined : bert } = own;
  const settings = {
    ...own,
    ...(visionWeights === undefined ? {} : { visionWeights: path.resolve(visionWeights) }),
    ...(bert === undefined ? {} : { bert: bert === 'random' ? bert : path.resolve(bert) }),
    ...(tokenizer === undefined ? {} : { tokenizer: path.resolve(tokenizer) }),
  } as RunSettings & Stage1Sources;
  if (!goesOn) checkFolders({ bert, tokenizer });
  const options = rest as Omit<Stage1RecipeOptions, 'vision'>;
  const words = goesOn ? {} : wordsOf(settings);
  const { formats, remark } = chosenFormats(goesOn ? [] : FORMATS, options, settings.device, fastBfloat16);
  const recipe = stage1({
    ...options,
    ...formats,
    vision: (isFolder ? readVisionTowerConfig(tower) : tower) as Stage1RecipeOptions['vision'],
    model: { ...words, ...options.model, qformerConfig: { ...words.qformerConfig, ...options.model?.qformerConfig } },
  });
  checkFeatures(settings, recipe.image);
  checkEvaluation(settings, false);
  return { recipe, settings, remark, tokenizerFolder: goesOn ? path.join(settings.out, TOKENIZER) : settings.tokenizer };
}

/** Said before anything in them is looked for. */
function checkFolders(folders: Readonly<Record<'bert' | 'tokenizer', string | undefined>>): void {
  const expected = { bert: NEEDED.bert, tokenizer: "a tokenizer's folder" };
  for (const name of ['bert', 'tokenizer'] as const) {
    const folder = folders[name];
    if (folder === undefined || folder === 'random' || fs.existsSync(folder)) continue;
    throw new ArgumentError(`run.${name}`, expected[name], `${JSON.stringify(folder)}, which is not there`);
  }
}

/**
 * What settings come to, as the run would be told it, without opening data or weights; they need not be complete.
 * @throws ArgumentError as {@link stage1Run} does
 */
export function stage1Preview(given: Partial<Stage1Settings>, options: Pick<RunOptions, 'resume' | 'fastBfloat16'> = {}): object {
  checkArgument('given', given, anObject);
  checkArgument('options', options, anObject);
  const { recipe, settings } = plan(given, options);
  return { ...settings, ...recipe };
}

/** The model's shape so far as BERT, or else the tokenizer, decides on it. */
function wordsOf({ bert, tokenizer: folder }: Partial<Stage1Sources>): NonNullable<Stage1RecipeOptions['model']> {
  if (folder === undefined) return {};
  const tokenizer = Tokenizer.fromPretrained(folder);
  const eosTokenId = tokenizer.specialId('sep') ?? null;
  if (bert === undefined || bert === 'random') return { eosTokenId, qformerConfig: { vocabSize: tokenizer.vocabSize + 1 } };
  const { encoderHiddenSize: _, ...qformerConfig } = bertQFormerConfig(bert);
  return { eosTokenId, qformerConfig };
}

function checkWords({ model }: Stage1Recipe, { vocabSize }: Tokenizer): void {
  const { qformerConfig } = model;
  if (vocabSize < qformerConfig.vocabSize) return;
  const expected = `fewer tokens than the model has (${qformerConfig.vocabSize}, the last of which is [DEC])`;
  throw new ArgumentError('run.tokenizer', expected, String(vocabSize));
}

/** Every setting that has a value of its own, with the paper's for ViT-g: what there is to set. */
export function stage1Defaults(): object {
  return { ...RUN_DEFAULTS, ...stage1({ vision: 'eva-vit-g' }) };
}
