import fs from 'node:fs';
import path from 'node:path';
import { ArgumentError, FileError } from '../../native/errors.ts';
import { stageFile, type Write } from '../../native/files.ts';
import { addon } from '../../native/load.ts';
import { checkObject, kindOf } from '../check.ts';
import { native } from '../dispatch.ts';
import { itemSize } from '../dtype.ts';
import { scope } from '../lifetime.ts';
import { CHUNK_BYTES } from '../mapped-pages.ts';
import { noGrad } from '../modes.ts';
import { Tensor } from '../tensor.ts';
import { quote } from '../tensor-file.ts';
import { storedDtypeOf } from './dtypes.ts';
import { formatHeader, type Item, inFileOrder } from './header.ts';

/** Options of {@link saveSafetensors}. */
export interface SaveOptions {
  /** Free-form text for the header. Hugging Face's loaders want `{ format: 'pt' }`, which it is unless told. */
  metadata?: Readonly<Record<string, string>>;
  /**
   * Splits the tensors into files of at most so many bytes (a larger tensor gets its own), named `model-00001-of-00003.safetensors` and
   * so on, with `model.safetensors.index.json` beside them. Files of an earlier save under these names are
   * removed; a process that is killed in between leaves the one save, the other, or no index.
   */
  maxShardBytes?: number;
}

interface Source extends Item {
  readonly tensor: Tensor;
}

/**
 * Writes tensors to a safetensors file, byte for byte as the reference implementation does, whatever their strides, dtype or device.
 * At most one tensor (a non-contiguous one) is copied at a time. The file appears whole or not at all.
 *
 * @throws ArgumentError when a tensor's dtype has no place in the format.
 * @throws FileError when the file cannot be written.
 */
export function saveSafetensors(
  file: string,
  tensors: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
  options: SaveOptions = {},
): void {
  if (typeof file !== 'string' || file === '') throw new ArgumentError('file', "a file's path", kindOf(file));
  checkObject(tensors, 'tensors');
  checkObject(options);
  const { metadata = { format: 'pt' }, maxShardBytes } = options;
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') throw new ArgumentError('metadata', 'text only', `a ${typeof value} under ${quote(key)}`);
  }
  if (maxShardBytes !== undefined && !(maxShardBytes > 0)) {
    throw new ArgumentError('maxShardBytes', 'a positive number', String(maxShardBytes));
  }
  const sources = [...(tensors instanceof Map ? tensors : Object.entries(tensors))].map(([name, tensor]) =>
    sourceOf(name, tensor),
  );
  if (maxShardBytes === undefined) stageShard(file, sources, metadata).commit();
  else saveShards(file, split(sources, maxShardBytes), metadata);
}

function sourceOf(name: string, tensor: Tensor): Source {
  const field = `tensors[${quote(name)}]`;
  if (name === '__metadata__' || /\p{Surrogate}/u.test(name))
    throw new ArgumentError('tensors', 'a name that the format allows', quote(name));
  if (!(tensor instanceof Tensor)) throw new ArgumentError(field, 'a tensor', typeof tensor);
  const dtype = storedDtypeOf(tensor.dtype);
  if (dtype === undefined) throw new ArgumentError(field, 'a dtype that safetensors has', tensor.dtype);
  if (tensor.device === 'meta') throw new ArgumentError(field, 'a tensor with data', 'one on the meta device');
  return { name, dtype, shape: tensor.shape, bytes: tensor.numel * itemSize(tensor.dtype), tensor };
}

function stageShard(
  file: string,
  sources: readonly Source[],
  metadata: Readonly<Record<string, string>>,
): ReturnType<typeof stageFile> {
  const sorted = inFileOrder(sources);
  return stageFile(file, (write) => {
    write(formatHeader(sorted, metadata));
    const largest = sorted.reduce((most, { bytes }) => Math.max(most, bytes), 0);
    const buffer = Buffer.allocUnsafe(Math.min(largest, CHUNK_BYTES));
    for (const { tensor, bytes } of sorted) if (bytes > 0) writeData(write, tensor, buffer);
  });
}

function writeData(write: Write, tensor: Tensor, buffer: Buffer): void {
  const width = itemSize(tensor.dtype);
  const step = Math.floor(buffer.length / width);
  noGrad(() =>
    scope(() => {
      const flat = tensor.detach().contiguous().view(tensor.numel);
      for (let at = 0; at < tensor.numel; at += step) {
        const count = Math.min(step, tensor.numel - at);
        using part = flat.narrow(0, at, count);
        const bytes = buffer.subarray(0, count * width);
        native(() => addon.copyTo(part.handle, bytes));
        write(bytes);
      }
    }),
  );
}

/** As Hugging Face splits: in the order given, a new file when the next tensor does not fit. */
function split(sources: readonly Source[], maxShardBytes: number): Source[][] {
  const shards: Source[][] = [[]];
  let filled = 0;
  for (const source of sources) {
    if (filled > 0 && filled + source.bytes > maxShardBytes) {
      shards.push([]);
      filled = 0;
    }
    (shards.at(-1) as Source[]).push(source);
    filled += source.bytes;
  }
  return shards;
}

function saveShards(file: string, shards: readonly Source[][], metadata: Readonly<Record<string, string>>): void {
  const folder = path.dirname(file);
  const stem = path.basename(file, '.safetensors');
  const nameOf = (i: number): string => {
    if (shards.length === 1) return `${stem}.safetensors`;
    const number = (n: number): string => String(n).padStart(5, '0');
    return `${stem}-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
  };
  const names = shards.map((_, i) => nameOf(i));
  const staged: ReturnType<typeof stageFile>[] = [];
  try {
    for (const [i, shard] of shards.entries()) staged.push(stageShard(path.join(folder, nameOf(i)), shard, metadata));
    if (shards.length > 1) {
      const index = `${stem}.safetensors.index.json`;
      names.push(index);
      const text = formatIndex(shards, nameOf);
      staged.push(stageFile(path.join(folder, index), (write) => write(Buffer.from(text))));
    }
    // The index goes last, and an earlier one first, which would take files of both saves for one: until the new one is there, a loader finds an
    // earlier single file, or nothing.
    if (shards.length > 1) removeFile(path.join(folder, `${stem}.safetensors.index.json`));
    for (const file of staged) file.commit();
  } catch (error) {
    for (const file of staged) file.discard();
    throw error;
  }
  removeOld(folder, stem, new Set(names));
}

function formatIndex(shards: readonly Source[][], nameOf: (i: number) => string): string {
  const placed = shards.flatMap((shard, i) => shard.map(({ name }) => [name, nameOf(i)] as const));
  placed.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const total = shards.flat().reduce((sum, { bytes }) => sum + bytes, 0);
  return `${JSON.stringify({ metadata: { total_size: total }, weight_map: Object.fromEntries(placed) }, null, 2)}\n`;
}

// What an earlier save left would be found before, or beside, the new files.
function removeOld(folder: string, stem: string, names: ReadonlySet<string>): void {
  for (const name of fs.readdirSync(folder)) {
    if (!name.startsWith(stem) || names.has(name)) continue;
    if (!/^(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$/.test(name.slice(stem.length))) continue;
    removeFile(path.join(folder, name));
  }
}

function removeFile(file: string): void {
  try {
    fs.rmSync(file, { force: true });
  } catch (error) {
    throw new FileError(file, 'an earlier save cannot be removed', { cause: error });
  }
}
