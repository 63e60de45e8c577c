export type { Decodable, Rewindable } from './decodable.ts';
export type { DecidedToken, Generated } from './decoder.ts';
export { generate, type Prompt, streamTokens } from './generate.ts';
export type { GenerateOptions } from './options.ts';
export { type Continuations, type ScoreOptions, scoreContinuations } from './score.ts';
