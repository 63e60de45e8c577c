export { type BlipCaptionOptions, blipCaption, blipQuestion } from './text/captions.ts';
export type { TokenName } from './text/definition.ts';
export { TokenBatch } from './text/token-batch.ts';
export { type EncodeOptions, Tokenizer } from './text/tokenizer.ts';
