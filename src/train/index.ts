export {
  type CachedBatch,
  type CachedBatchesOptions,
  type CachedGalleryBatch,
  cachedBatches,
  cachedGallery,
} from './cached-batches.ts';
export { type BestCheckpoint, loadTrained, loadTraining, type RunState, readProgress, saveTraining } from './checkpoint.ts';
export { CheckpointFolder } from './checkpoint-folder.ts';
export type { BatchStream, OpenData } from './data.ts';
export { type FeatureTower, FrozenEncoder } from './encoder.ts';
export { FeatureCache, type FeatureCacheOptions } from './feature-cache.ts';
export type { GeneratorStates } from './generators.ts';
export { JsonLinesLog } from './logs/json-lines.ts';
export type { StepRecord, TrainingLog } from './logs/log.ts';
export { ProgressLog } from './logs/progress.ts';
export { TensorBoardLog } from './logs/tensorboard.ts';
export { type FoundIn, NonFiniteError } from './non-finite.ts';
export type { Objective, StepLosses } from './objective.ts';
export type { CheckpointOptions, TrainerOptions, TrainingEvaluation } from './options.ts';
export { RunHeldError } from './run-lock.ts';
export type { Precision } from './step.ts';
export { Trainer, type TrainingResult } from './trainer.ts';
