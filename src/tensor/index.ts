export { backward, clearGradients, type GradOptions, grad, gradients } from './autograd.ts';
export type { Device } from './base.ts';
export { callOperator, type OperatorValue, operatorNames, operatorSchema } from './call.ts';
export {
  arange,
  empty,
  emptyLike,
  eye,
  fromTypedArray,
  full,
  fullLike,
  linspace,
  ones,
  onesLike,
  type TensorOptions,
  tensor,
  wrapTypedArray,
  zeros,
  zerosLike,
} from './create.ts';
export { deviceCount, deviceMemory, emptyCache, setThreads, synchronize, threads } from './device.ts';
export { type Dtype, isFloatingPoint, itemSize } from './dtype.ts';
export { keep, memory, scope } from './lifetime.ts';
export { autocast, enableGrad, inFloat32, inferenceMode, isGradEnabled, noGrad, withoutAutocast } from './modes.ts';
export {
  binaryCrossEntropyWithLogits,
  type CrossEntropyOptions,
  conv2d,
  cosineSimilarity,
  crossEntropy,
  dropout,
  embedding,
  l1Loss,
  layerNorm,
  mseLoss,
  normalize,
  oneHot,
  type Reduction,
  rmsNorm,
  scaledDotProductAttention,
  upsampleBicubic,
  upsampleBicubicAntialiased,
  where,
} from './ops/functional.ts';
export { type Index, type Slice, slice } from './ops/indexing.ts';
export { einsum } from './ops/linalg.ts';
export { linear } from './ops/linear.ts';
export type { Dims } from './ops/reduction.ts';
export { cat, stack } from './ops/shape.ts';
export {
  bernoulli,
  exponential_,
  Generator,
  manualSeed,
  multinomial,
  normal_,
  type RandomOptions,
  rand,
  randint,
  randn,
  randperm,
  rngState,
  setRngState,
  uniform_,
} from './random.ts';
export {
  loadSafetensors,
  openSafetensors,
  Safetensors,
  SafetensorsError,
  type SaveOptions,
  type StoredDtype,
  type StoredTensor,
  saveSafetensors,
} from './safetensors.ts';
export { type NestedArray, Tensor, type TypedArray } from './tensor.ts';
export { TensorFile, type TensorInfo } from './tensor-file.ts';
export { loadTorchFile, openTorchFile, TorchFile, TorchFileError, type TorchScalar, type TorchTensor } from './torch-file.ts';
export { openWeights } from './weights.ts';
