export * from './metrics/index.ts';
export type { GalleryBatch, RetrievalModel, RetrievalTokenizer } from './retrieval/model.ts';
export type { RetrievalEvaluationOptions, RetrievalProgress } from './retrieval/options.ts';
export { type RankedMatch, Rankings } from './retrieval/rankings.ts';
export { evaluateRetrieval, type RetrievalRankings, type RetrievalResult } from './retrieval.ts';
