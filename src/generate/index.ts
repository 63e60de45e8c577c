export type { Decodable } from './decodable.ts';
export type { DecidedToken, Generated } from './decoder.ts';
export { generate, type Prompt, streamTokens } from './generate.ts';
export type { GenerateOptions } from './options.ts';
