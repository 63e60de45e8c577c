// The declarations name types of Node (Buffer, streams, ports), which a project that uses them need not have asked for.
/// <reference types="node" preserve="true" />
export * from './data/index.ts';
export * from './dist/index.ts';
export * from './generate/index.ts';
export * from './hub/index.ts';
export * from './losses/index.ts';
export * from './models/index.ts';
export {
  ArgumentError,
  Blip2Error,
  DeviceError,
  FileError,
  OperatorError,
  OutOfMemoryError,
  SetupError,
  TensorFreedError,
} from './native/errors.ts';
export * from './nn/index.ts';
export * from './objectives/index.ts';
export * from './optim/index.ts';
export * from './pipeline/index.ts';
export * from './recipes/index.ts';
export * from './tasks/index.ts';
export * from './tensor/index.ts';
export * from './train/index.ts';
