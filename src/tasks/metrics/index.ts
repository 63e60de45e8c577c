export { type Bleu, type BleuScores, bleu } from './bleu.ts';
export type { CaptionPair, CorpusScore } from './caption-pair.ts';
export { tokenizeCaption } from './caption-tokens.ts';
export { type CaptionMetrics, scoreCaptions } from './captions.ts';
export { ciderD } from './cider.ts';
export { rougeL } from './rouge.ts';
export {
  directAnswerAccuracy,
  exactMatch,
  type Lemmatizer,
  meanPercent,
  processAnswer,
  processPunctuation,
  processWords,
  vqaAccuracy,
} from './vqa-accuracy.ts';
