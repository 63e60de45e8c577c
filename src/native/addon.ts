/**
 * The addon's functions, as `native/` registers them. A tensor, generator or mapped file is an integer handle here, a dtype its number
 * in c10::ScalarType; `src/tensor` makes classes of them.
 */
export interface Addon {
  /** The libtorch version that the addon was compiled against. */
  readonly builtFor: string;

  // handles
  free(tensor: number): void;
  /** Frees the tensors whose handles are the first `count` elements. */
  freeMany(tensors: Int32Array, count: number): void;
  /** A second handle of the same tensor. */
  alias(tensor: number): number;
  shape(tensor: number): number[];
  strides(tensor: number): number[];
  dtype(tensor: number): number;
  device(tensor: number): string;
  isContiguous(tensor: number): boolean;
  storageOffset(tensor: number): number;
  /** Equal for two tensors exactly when they share storage. */
  storageKey(tensor: number): number;
  /** Live tensors, and the bytes of the storages they hold. */
  memory(): [tensors: number, bytes: number];

  // dispatch
  /** The number of an operator, by name and overload ("add.Tensor"). */
  lookup(name: string): number;
  /** Every operator that has a schema, as `lookup` takes it. */
  operatorNames(): string[];
  schema(operator: number): { schema: string; returns: string[]; names: string[]; writes: number[]; handles: number[] };
  call(operator: number, ...values: readonly unknown[]): unknown;
  /** The operator's first `int[]` is given as the rest of the values, which is faster than an array of them. */
  callSpread(operator: number, ...values: readonly unknown[]): unknown;
  /** For in-place and out variants: returns nothing. */
  callInPlace(operator: number, ...values: readonly unknown[]): void;

  // autograd and modes
  backward(
    outputs: readonly number[],
    gradOutputs: readonly (number | null)[] | null,
    retainGraph: boolean,
    createGraph: boolean,
    inputs: readonly number[] | null,
  ): void;
  grad(
    outputs: readonly number[],
    inputs: readonly number[],
    gradOutputs: readonly (number | null)[] | null,
    retainGraph: boolean,
    createGraph: boolean,
    allowUnused: boolean,
  ): (number | null)[];
  gradOf(tensor: number): number | null;
  gradsOf(tensors: readonly number[]): (number | null)[];
  setGrad(tensor: number, gradient: number | null): void;
  clearGrads(tensors: readonly number[]): void;
  requiresGrad(tensor: number): boolean;
  setRequiresGrad(tensor: number, requiresGrad: boolean): void;
  isLeaf(tensor: number): boolean;
  gradFn(tensor: number): string | null;
  setGradMode(enabled: boolean): boolean;
  gradModeEnabled(): boolean;
  setInferenceMode(enabled: boolean): boolean;
  setAutocast(device: string, dtype: number | null): number | null;

  // storage
  fromData(data: ArrayBufferView | ArrayBuffer, shape: readonly number[], dtype: number): number;
  wrapData(data: ArrayBufferView | ArrayBuffer, shape: readonly number[], dtype: number, take?: boolean): number;
  copyTo(tensor: number, out: ArrayBufferView | ArrayBuffer): void;
  item(tensor: number): number | bigint | boolean;
  setData(tensor: number, data: number): void;
  mapFile(path: string): number;
  unmap(mapping: number): void;
  mappedTensor(mapping: number, offset: number, shape: readonly number[], dtype: number): number;
  adviseUnused(mapping: number, offset: number, bytes: number): void;

  // random
  createGenerator(device: string): number;
  defaultGenerator(device: string): number;
  freeGenerator(generator: number): void;
  setSeed(generator: number, seed: number | bigint): void;
  getState(generator: number): number;
  setState(generator: number, state: number): void;

  // devices and threads
  threads(): number;
  setThreads(count: number): void;
  accelerator(): string | null;
  deviceCount(): number;
  synchronize(device: string): void;
  deviceMemory(device: string): [allocated: number, reserved: number, peak: number];
  emptyCache(): void;
  /** Gives the system back what malloc keeps of freed memory, where that is glibc's. */
  trimMemory(): void;
  cpuCapability(): string;
}
