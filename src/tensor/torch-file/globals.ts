import { type Dtype, isDtype } from '../dtype.ts';
import type { Failure } from '../mapped-pages.ts';
import { Global, type Value } from './pickle.ts';
import { DtypeGlobal, StorageGlobal, StoredView, viewOf } from './stored.ts';

const STORAGES: Readonly<Record<string, Dtype>> = {
  FloatStorage: 'float32',
  DoubleStorage: 'float64',
  HalfStorage: 'float16',
  BFloat16Storage: 'bfloat16',
  LongStorage: 'int64',
  IntStorage: 'int32',
  ShortStorage: 'int16',
  CharStorage: 'int8',
  ByteStorage: 'uint8',
  BoolStorage: 'bool',
  ComplexFloatStorage: 'complex64',
  ComplexDoubleStorage: 'complex128',
};

/** (storage, offset, sizes, strides, requires_grad, hooks, metadata); the last three say nothing of the values, but for two bits. */
function tensorV2(args: readonly Value[], fail: Failure): StoredView {
  return withoutBits(viewOf(args, fail), args[6], fail);
}

/** The same with a dtype before the metadata: for the dtypes that have no class of storages. */
function tensorV3(args: readonly Value[], fail: Failure): StoredView {
  return withoutBits(viewOf(args, fail, args[6] ?? null), args[7], fail);
}

function withoutBits(view: StoredView, metadata: Value | undefined, fail: Failure): StoredView {
  const bits = metadata instanceof Map ? [...metadata].filter(([, value]) => value === true).map(([bit]) => String(bit)) : [];
  if (bits.length > 0)
    throw fail(`a tensor is lazily changed (${bits.join(', ')}): call resolve_conj() and resolve_neg() before saving`);
  return view;
}

/** (tensor, requires_grad, hooks, state) */
function parameter([data]: readonly Value[], fail: Failure): StoredView {
  if (!(data instanceof StoredView)) throw fail('expected a parameter of a tensor');
  return data;
}

/** (function, class, arguments, state): a tensor with attributes of its own, which are left out. */
function fromType([rebuild, type, args]: readonly Value[], fail: Failure): Value {
  const known = rebuild instanceof Global && REBUILD.has(rebuild) && type instanceof Global && PLAIN_TYPES.has(type.name);
  if (!known || !Array.isArray(args))
    throw fail(`tensors of the class ${type instanceof Global ? type.name : 'given'} are not read`);
  return rebuild.call?.(args, fail) ?? null;
}

function device([type, index]: readonly Value[], fail: Failure): Value {
  if (typeof type !== 'string' || type.length > 32) throw fail('expected a device');
  return typeof index === 'number' ? `${type}:${index}` : type;
}

/** What is one value already in the form that it has here. */
function same(args: readonly Value[], fail: Failure): Value {
  if (args.length === 0) return [];
  if (args[0] instanceof Global) throw fail('expected values');
  return args[0] as Value;
}

function emptyDict(args: readonly Value[], fail: Failure): Value {
  if (args.some((arg) => !(arg instanceof Global))) throw fail('expected dicts to be made empty and filled then');
  return new Map();
}

const rebuilding = [
  new Global('torch._utils._rebuild_tensor', viewOf),
  new Global('torch._utils._rebuild_tensor_v2', tensorV2),
  new Global('torch._utils._rebuild_tensor_v3', tensorV3),
  new Global('torch._utils._rebuild_parameter', parameter),
  new Global('torch._utils._rebuild_parameter_with_state', parameter),
];
const REBUILD = new Set(rebuilding);
const PLAIN_TYPES = new Set(['torch.Tensor', 'torch.nn.parameter.Parameter', 'torch.nn.parameter.Buffer']);

const builtins = (name: string, call?: Global['call']): Global[] =>
  ['builtins', '__builtin__'].map((module) => new Global(`${module}.${name}`, call));

const ALLOWED: ReadonlyMap<string, Global> = new Map(
  [
    ...rebuilding,
    new Global('torch._tensor._rebuild_from_type_v2', fromType),
    ...[...PLAIN_TYPES].map((name) => new Global(name)),
    ...Object.entries(STORAGES).map(([name, dtype]) => new StorageGlobal(`torch.${name}`, dtype)),
    new StorageGlobal('torch.storage.UntypedStorage', null),
    new Global('torch.Size', same),
    new Global('torch.device', device),
    new Global('collections.OrderedDict', emptyDict),
    new Global('collections.defaultdict', emptyDict),
    new Global('collections.Counter', same),
    new Global('_codecs.encode', same), // how protocol 2 writes bytes
    ...builtins('bytearray', same),
    ...builtins('set', same),
    ...builtins('frozenset', same),
    ...['dict', 'list', 'int', 'float'].flatMap((name) => builtins(name)), // what a defaultdict makes
  ].map((global) => [global.name, global]),
);

/** The only names that a pickle may use: what rebuilds tensors, and containers of the standard library. */
export function allowedGlobal(name: string): Global | undefined {
  const dtype = name.startsWith('torch.') ? name.slice(6) : '';
  return ALLOWED.get(name) ?? (isDtype(dtype) ? new DtypeGlobal(dtype) : undefined);
}
