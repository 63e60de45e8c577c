import fs from 'node:fs';
import path from 'node:path';
import { openQuestions, type QuestionSet, Tokenizer } from '../data/index.ts';
import { initFromStage1, loadLanguageModel, readVisionTowerConfig } from '../models/index.ts';
import { anObject, checkArgument } from '../native/arguments.ts';
import { Generator, setThreads } from '../tensor/index.ts';
import { captionEvaluation } from './caption-evaluation.ts';
import type { Rules } from './fields.ts';
import { lossEvaluation } from './loss-evaluation.ts';
import { chosenFormats } from './number-formats.ts';
import { findRun, runFolder } from './open-run.ts';
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
  stageOf,
  toldOf,
} from './run-settings.ts';
import { STAGE1 } from './run-stage1.ts';
import { type Stage2Recipe, type Stage2RecipeOptions, stage2 } from './stage2.ts';
import { Stage2Objective } from './stage2-objective.ts';
import { type Stage2Writer, stage2Writer } from './stage2-writer.ts';
import { newStage2Model, stage2Trainer } from './train-stage2.ts';
import { vqaEvaluation } from './vqa-evaluation.ts';

/** What the second stage starts from. */
export interface Stage2Sources {
  /**
   * The first stage: the folder of its run or of one of its checkpoints, which also says the tower and where its weights are; or a file with its
   * weights, such as LAVIS's `blip2_pretrained.pth`, beside which `vision` must be told.
   */
  readonly from: string;
  /** The vision tower's weights, where `from` does not say them. */
  readonly visionWeights: string;
  /** The language model's folder; not needed where `languageModel` is one. */
  readonly languageModelWeights: string;
  /** The folder of the tokenizer; the language model's unless told. */
  readonly tokenizer: string;
}

/** All that a run of the second stage is told, in one object: its own settings, the recipe's fields, and where its parts come from. */
export type Stage2Settings = GivenSettings &
  Partial<Stage2Sources> &
  Omit<Stage2RecipeOptions, 'from' | 'vision'> & { vision?: Stage2RecipeOptions['vision'] | (string & {}) };

/** @internal The name of a run's stage in its file. */
export const STAGE2 = 'stage2';
const RULES: Rules = { from: place, visionWeights: place, languageModelWeights: place, tokenizer: place };
const FORMATS = ['visionDtype', 'languageModelDtype', 'precision'] as const;
const NEEDED = {
  from: 'a run of stage 1, or a file with its weights',
  visionWeights: "a file or folder with the tower's weights",
  languageModelWeights: "a language model's folder",
};

/**
 * Sets up a run of the second stage from settings alone, as the command line does; its folder is as that of a first stage's run. Number formats that are
 * not told are float32 where the device is not fast in bfloat16, and else as {@link stage2} has them.
 *
 * @throws ArgumentError naming a setting (`run.<name>`) or a field of the recipe (`recipe.<name>`); FileError for files that are missing or not
 *   as expected; StateDictError for weights of another shape
 */
export async function stage2Run(given: Stage2Settings, options: RunOptions = {}): Promise<Run<Stage2Recipe>> {
  checkArgument('given', given, anObject);
  checkArgument('options', options, anObject);
  const { resume = false } = options;
  const { recipe, settings, remark, goesOn } = plan(given, options);
  checkGiven(settings, NEEDED, resume);
  const { out, from, device, threads, languageModelWeights: folder, evaluation } = settings;
  let writer: Stage2Writer | undefined;
  checkFolder(out, resume);
  if (threads !== null) setThreads(threads);
  const tokenizer = Tokenizer.fromPretrained(goesOn ? path.join(out, TOKENIZER) : settings.tokenizer);
  const model = newStage2Model(recipe);
  if (lastCheckpoint(out) === null) initFromStage1(model, weightsOf(from));
  if (device !== 'cpu') model.to({ device });
  const languageModel = loadLanguageModel(folder, { dtype: recipe.languageModelDtype, device, shape: recipe.languageModel });
  return openRun(
    { recipe, settings, remark },
    {
      stage: STAGE2,
      model,
      tokenizer,
      trainer: (run) => stage2Trainer(recipe, { ...run, model, languageModel }),
      evaluations({ every, gallery, encoder, onBroken, directory }) {
        const still = { ...recipe, languageModelDropout: false };
        // Captions are divided at the same places in every evaluation.
        const objective = () =>
          new Stage2Objective(still, { model, languageModel, tokenizer, encoder, splits: new Generator(recipe.seed) });
        const { precision } = recipe;
        const loss = gallery && lossEvaluation(objective, { every, gallery, device, precision, best: 'lm' });
        const { captions: pictures, batchSize, questionCount } = evaluation;
        const asked = questionsOf(settings);
        if (pictures === 0 && asked === null) return loss === null ? [] : [loss];
        writer = stage2Writer(recipe, { model, languageModel, tokenizer, encoder });
        const captions =
          gallery !== null && pictures > 0 ? captionEvaluation(writer.captions(), { every, gallery, pictures, directory }) : null;
        const count = questionCount ?? undefined;
        const asking = { every, count, batchSize, directory, onBroken, maxBroken: settings.maxBroken };
        const best = gallery === null && asked?.questions[0]?.answers !== undefined;
        const answers = asked && vqaEvaluation(writer.model, { ...asking, questions: asked, best });
        return [loss, captions, answers].filter((one) => one !== null);
      },
      async dispose() {
        await writer?.dispose();
        languageModel.dispose();
      },
    },
    options,
  );
}

function questionsOf({ images, evaluation }: RunSettings): QuestionSet | null {
  const { questions, annotations } = evaluation;
  if (questions === null) return null;
  return openQuestions(questions, { annotations: annotations ?? undefined, images: evaluation.images ?? images ?? undefined });
}

interface Stage2Plan extends Plan<Stage2Recipe, Stage2Sources> {
  /** Whether the settings are those of a run that goes on. */
  readonly goesOn: boolean;
}

/** What would be run, from settings that need not be complete. */
function plan(given: Partial<Stage2Settings>, { resume = false, fastBfloat16 }: RunOptions): Stage2Plan {
  const { told, goesOn } = toldOf(given, STAGE2, resume);
  const { vision: tower, languageModel = 'opt-2.7b', ...others } = told;
  checkNames(others, [...Object.keys(RULES), ...Object.keys(stage2Defaults())]);
  const towerFolder = typeof tower === 'string' && isFolder(tower) ? tower : undefined;
  const [own, rest] = runSettings<Partial<Stage2Sources>>(others, RULES, {
    ...visionOf(others.from),
    ...(towerFolder === undefined ? {} : { visionWeights: towerFolder }),
    ...(typeof languageModel === 'string' && isFolder(languageModel) ? { languageModelWeights: languageModel } : {}),
  });
  const { from, visionWeights, languageModelWeights, tokenizer = languageModelWeights } = own;
  const absolute = Object.entries({ from, visionWeights, languageModelWeights, tokenizer }).flatMap(([name, file]) =>
    file === undefined ? [] : [[name, path.resolve(file)] as const],
  );
  const settings = { ...own, ...Object.fromEntries(absolute) } as RunSettings & Stage2Sources;
  const shape = towerFolder === undefined ? tower : readVisionTowerConfig(towerFolder);
  const { formats, remark } = chosenFormats(goesOn ? [] : FORMATS, rest, settings.device, fastBfloat16);
  const recipe = stage2({
    ...(rest as Omit<Stage2RecipeOptions, 'languageModel'>),
    ...formats,
    languageModel,
    ...(from !== undefined && isFolder(from) && !goesOn ? { from } : {}),
    ...(shape === undefined
      ? from === undefined
        ? { vision: 'eva-vit-g' }
        : {}
      : { vision: shape as NonNullable<Stage2RecipeOptions['vision']> }),
  });
  checkFeatures(settings, recipe.image);
  checkEvaluation(settings, true);
  return { recipe, settings, remark, goesOn };
}

function isFolder(file: string): boolean {
  return fs.statSync(file, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Where a run of the first stage has its tower's weights from. */
function visionOf(from: unknown): Partial<Stage2Sources> {
  if (typeof from !== 'string' || stageOf(runFolder(from)) !== STAGE1) return {};
  const { visionWeights } = findRun(from, STAGE1).settings as { visionWeights?: unknown };
  return typeof visionWeights === 'string' ? { visionWeights } : {};
}

/** The file or folder with the first stage's weights. */
function weightsOf(from: string): string {
  return lastCheckpoint(from) ?? from;
}

/**
 * What settings come to, as the run would be told it, without opening data or weights; they need not be complete.
 * @throws ArgumentError, FileError as {@link stage2Run} does
 */
export function stage2Preview(given: Partial<Stage2Settings>, options: Pick<RunOptions, 'resume' | 'fastBfloat16'> = {}): object {
  checkArgument('given', given, anObject);
  checkArgument('options', options, anObject);
  const { recipe, settings } = plan(given, options);
  return { ...settings, ...recipe };
}

/** Every setting that has a value of its own, with the paper's for ViT-g and OPT: what there is to set. */
export function stage2Defaults(): object {
  return { ...RUN_DEFAULTS, ...stage2({ vision: 'eva-vit-g', languageModel: 'opt-2.7b' }) };
}
