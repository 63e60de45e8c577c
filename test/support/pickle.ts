import type { Tensor } from '../../src/index.ts';
import { zip } from './zip.ts';

/** A part of a pickle, byte for byte: text in Latin-1, a number as one byte. */
export type Part = string | number | Buffer;

/** A pickle of protocol 2 with its first and last operation. */
export function pickle(...parts: Part[]): Buffer {
  const bytes = parts.map((part) =>
    typeof part === 'number' ? Buffer.of(part) : typeof part === 'string' ? Buffer.from(part, 'latin1') : part,
  );
  return Buffer.concat([Buffer.of(0x80, 2), ...bytes, Buffer.from('.')]);
}

/** Pushes text. */
export function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return Buffer.concat([Buffer.from('X'), length, bytes]);
}

/** Pushes a whole number of at most eight bytes. */
export function whole(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return Buffer.concat([Buffer.of(0x8a, 8), bytes]);
}

/** Pushes a tuple. */
export function tuple(...items: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat(['(', ...items, 't'].map((item) => (typeof item === 'string' ? Buffer.from(item, 'latin1') : item)));
}

/** Pushes the global that Python imports by these names. */
export function global(module: string, name: string): Buffer {
  return Buffer.from(`c${module}\n${name}\n`, 'latin1');
}

/** What a tensor's pickle says of it. */
export interface TensorFields {
  key?: string;
  elements?: number | bigint;
  type?: string;
  offset?: number | bigint;
  sizes?: readonly (number | bigint)[];
  strides?: readonly (number | bigint)[];
}

/** Pushes a tensor, of 2 × 3 float32 unless told. */
export function tensorOf(fields: TensorFields = {}): Buffer {
  const { key = '0', elements = 6, type = 'FloatStorage', offset = 0, sizes = [2, 3], strides = [3, 1] } = fields;
  const id = tuple(text('storage'), global('torch', type), text(key), text('cpu'), whole(elements));
  const hooks = Buffer.concat([global('collections', 'OrderedDict'), Buffer.from(')R')]);
  const args = tuple(id, 'Q', whole(offset), tuple(...sizes.map(whole)), tuple(...strides.map(whole)), Buffer.of(0x89), hooks);
  return Buffer.concat([global('torch._utils', '_rebuild_tensor_v2'), args, Buffer.from('R')]);
}

/** An archive as torch.save writes it, with one storage of six float32 unless told. */
export function torchArchive(
  content: Buffer,
  storages: Readonly<Record<string, Buffer>> = { 0: floats(0, 1, 2, 3, 4, 5) },
): Buffer {
  return zip([
    { name: 'archive/data.pkl', data: content },
    { name: 'archive/byteorder', data: 'little' },
    ...Object.entries(storages).map(([key, data]) => ({ name: `archive/data/${key}`, data })),
    { name: 'archive/version', data: '3\n' },
  ]);
}

export function floats(...values: readonly number[]): Buffer {
  return Buffer.from(new Float32Array(values).buffer);
}

/** A file of float32 tensors as torch.save writes a state dict. */
export function torchFileOf(tensors: readonly (readonly [name: string, value: Tensor])[]): Buffer {
  const storages: Record<string, Buffer> = {};
  const items = tensors.flatMap(([name, value], key) => {
    const strides = value.shape.map((_, i) => value.shape.slice(i + 1).reduce((product, size) => product * size, 1));
    storages[key] = Buffer.from((value.data() as Float32Array).slice().buffer);
    return [text(name), tensorOf({ key: String(key), elements: value.numel, sizes: value.shape, strides })];
  });
  return torchArchive(pickle('}(', ...items, 'u'), storages);
}
