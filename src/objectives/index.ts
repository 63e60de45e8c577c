export { type Stage1Batch, type Stage1Losses, type Stage1Options, stage1Loss } from './stage1.ts';
export type { Stage1Statistics } from './stage1-statistics.ts';
