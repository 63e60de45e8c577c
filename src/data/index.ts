export * from './images.ts';
export { Blip2Processor, type ModelInput, type PreprocessOptions } from './processor.ts';
export * from './text.ts';
