export {
  type CaptionEvaluation,
  type CaptionModel,
  type CaptionResult,
  type CaptionTarget,
  type CaptionTaskOptions,
  evaluateCaptions,
} from './caption.ts';
export { Chat, type ChatModel, type ChatOptions, type ChatTurn } from './chat.ts';
export * from './metrics/index.ts';
export type { TaskOptions, TaskProgress } from './options.ts';
export type { GalleryBatch, RetrievalModel, RetrievalTokenizer } from './retrieval/model.ts';
export type { RetrievalEvaluationOptions, RetrievalProgress } from './retrieval/options.ts';
export { type RankedMatch, Rankings } from './retrieval/rankings.ts';
export { evaluateRetrieval, type RetrievalRankings, type RetrievalResult } from './retrieval.ts';
export {
  evaluateVqa,
  type VqaAnswer,
  type VqaEvaluation,
  type VqaMetrics,
  type VqaModel,
  type VqaTaskOptions,
} from './vqa.ts';
