export { type AnswerOptions, Blip2, type CaptionOptions, type TextOptions, type TextPiece } from './blip2.ts';
export { WorkerError } from './errors.ts';
export type { ModelOptions } from './inputs.ts';
export { Blip2Retrieval, type MatchScores, type RetrievalOptions } from './retrieval.ts';
