export { ImageError } from './images/error.ts';
export { type LoadImageOptions, loadImage } from './images/load.ts';
export { ImageProcessor, type ImageProcessorConfig, imageProcessorDefaults } from './images/processor.ts';
export type { ImageSource, RawImage } from './images/source.ts';
