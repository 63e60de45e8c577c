export { Blip2, type EncodeImageOptions, type TextPiece } from './blip2.ts';
export { EncodedImage, type ImageInput } from './encoded-image.ts';
export { WorkerError } from './errors.ts';
export type { ModelOptions, PretrainedOptions } from './inputs.ts';
export {
  type AnswerOptions,
  answerTemplates,
  type CaptionOptions,
  type RankedAnswer,
  type RankOptions,
  type TextOptions,
} from './requests.ts';
export { Blip2Retrieval, type MatchScores, type RetrievalOptions } from './retrieval.ts';
