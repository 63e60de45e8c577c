export { type CocoOptions, cocoCaptions } from './datasets/coco.ts';
export { imageFolder } from './datasets/folder.ts';
export type { IndexedDataset } from './datasets/indexed.ts';
export { type JsonLinesOptions, jsonLines } from './datasets/json-lines.ts';
export { type MixturePart, mixture } from './datasets/mixture.ts';
export {
  type DatasetFormat,
  type DatasetSource,
  type OpenDatasetOptions,
  openDataset,
  parseDatasetSource,
} from './datasets/open.ts';
export {
  openQuestions,
  type Question,
  type QuestionFormat,
  type QuestionOptions,
  type QuestionSet,
} from './datasets/questions.ts';
export type {
  BrokenSample,
  Dataset,
  Drawn,
  Entry,
  GroupingOptions,
  ImageLocation,
  Sample,
  SampleStream,
  StreamOptions,
} from './datasets/sample.ts';
export { TarError } from './datasets/tar.ts';
export { type WebDataset, type WebDatasetOptions, webDataset } from './datasets/web-dataset.ts';
