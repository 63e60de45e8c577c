export { type ActivationName, activation, activationNames } from './activations.ts';
export { type AttentionOptions, additiveMask, attention } from './attention.ts';
export { Conv2d } from './conv2d.ts';
export { Dropout } from './dropout.ts';
export { Embedding } from './embedding.ts';
export {
  building,
  type Construction,
  type Initializer,
  initNormal,
  initOnes,
  initUniform,
  initZeros,
  parameter,
} from './init.ts';
export { type CacheStep, KeyValueCache, type KeyValueCacheOptions } from './kv-cache.ts';
export { LayerNorm } from './layer-norm.ts';
export { Linear } from './linear.ts';
export { Module, StateDictError } from './module.ts';
export { ModuleBuffer, Parameter } from './parameter.ts';
export { RMSNorm } from './rms-norm.ts';
