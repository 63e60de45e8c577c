export { AdamW, type AdamWSettings, type AdamWState, type ParameterGroup } from './adamw.ts';
export { clipGradNorm } from './clip.ts';
export { type DecayOptions, decayGroups } from './groups.ts';
export { type WarmupCosine, warmupCosine } from './schedule.ts';
