export { type CaptionsDuringTraining, captionEvaluation, type WriteCaptions } from './caption-evaluation.ts';
export type { CaptionedBatch, CaptionTokenizer } from './captioned-batch.ts';
export { combinedEvaluation } from './evaluation-results.ts';
export {
  type ExportedLavis,
  type ExportLavisOptions,
  exportLavis,
  type LavisFiles,
  type LavisRecipeOptions,
  lavisRecipe,
} from './export-lavis.ts';
export { type ExportedRun, type ExportRunOptions, exportRun } from './export-run.ts';
export {
  assembleStage2,
  type ExportOptions,
  exportStage2,
  type LoadStage2Options,
  loadStage2,
  type Stage2Files,
  type Stage2Whole,
} from './export-stage2.ts';
export { type DeepPartial, type FieldValue, fieldsOf } from './fields.ts';
export { type LossEvaluationOptions, lossEvaluation } from './loss-evaluation.ts';
export { measureRetrieval, type RetrievalSettings, retrievalDefaults } from './measure-retrieval.ts';
export { findRun, type ModelKind, modelKind, type SavedRun } from './open-run.ts';
export { type OpenRunOptions, openStage1, type TrainedStage1 } from './open-stage1.ts';
export { type RecipeRunOptions, recipeBatchSize, recipeTower } from './recipe-trainer.ts';
export { type RetrievalDuringTraining, retrievalEvaluation } from './retrieval-evaluation.ts';
export type { Run, RunOptions } from './run.ts';
export type { DataSettings, EvaluationSettings, GivenSettings, RunSettings } from './run-settings.ts';
export {
  type Stage1Settings,
  type Stage1Sources,
  stage1Defaults,
  stage1Preview,
  stage1Run,
} from './run-stage1.ts';
export { type Stage2Settings, type Stage2Sources, stage2Defaults, stage2Preview, stage2Run } from './run-stage2.ts';
export { type Stage1Recipe, type Stage1RecipeOptions, stage1, stage1WithoutItg } from './stage1.ts';
export { type Stage1CaptionOptions, stage1Captions, type TextDecoder } from './stage1-captions.ts';
export { Stage1Objective, type Stage1Parts } from './stage1-objective.ts';
export {
  type LanguageModelOption,
  type PrefixSplit,
  type Stage2Recipe,
  type Stage2RecipeOptions,
  stage2,
} from './stage2.ts';
export { Stage2Objective, type Stage2Parts } from './stage2-objective.ts';
export { type Stage2Writer, type Stage2WriterParts, stage2Writer } from './stage2-writer.ts';
export { newStage1Model, type Stage1RunOptions, stage1BatchSize, stage1Tower, stage1Trainer } from './train-stage1.ts';
export { newStage2Model, type Stage2RunOptions, stage2Trainer } from './train-stage2.ts';
export type { TrainingRecipe, VisionName, VisionOption, VisionRecipe } from './training-recipe.ts';
export { type VqaDuringTraining, vqaEvaluation } from './vqa-evaluation.ts';
