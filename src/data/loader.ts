export { Batch } from './loader/batch.ts';
export { BrokenSamplesError } from './loader/broken.ts';
export { Loader, type LoaderOptions, loader } from './loader/loader.ts';
