export { TorchFileError } from './torch-file/error.ts';
export type { TorchScalar } from './torch-file/names.ts';
export { loadTorchFile, openTorchFile, TorchFile, type TorchTensor } from './torch-file/open.ts';
