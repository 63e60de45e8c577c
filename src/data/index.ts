export * from './datasets.ts';
export * from './images.ts';
export * from './loader.ts';
export { Blip2Processor, type ModelInput, type PreprocessOptions } from './processor.ts';
export * from './text.ts';
export { evalTransform, type ImageTransform, trainTransform } from './transforms.ts';
