export { AdamW, type AdamWSettings, type AdamWState, type ParameterGroup } from './adamw.ts';
export { clipGradNorm, gradNorm } from './clip.ts';
export { type DecayOptions, decayGroups } from './groups.ts';
export { LossScaler, type LossScalerOptions, type LossScalerState } from './scaler.ts';
export { type WarmupCosine, warmupCosine } from './schedule.ts';
