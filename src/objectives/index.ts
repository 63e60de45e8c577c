export { type Stage1Batch, type Stage1Losses, type Stage1Options, stage1Loss } from './stage1.ts';
export type { Stage1Statistics } from './stage1-statistics.ts';
export { type Stage2Batch, type Stage2Losses, type Stage2Options, type Stage2Statistics, stage2Loss } from './stage2.ts';
export type { PromptedText } from './stage2-texts.ts';
