// n pictures, B of a batch, N image tokens, W width of the features.

import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isBroken, type Sample } from '../data/datasets/sample.ts';
import { type Dataset, type ImageTransform, type LoaderOptions, loader } from '../data/index.ts';
import { numberOf } from '../data/loader/batch.ts';
import { readRange } from '../data/read.ts';
import { anId, arrayOf, checkArgument, having, optional } from '../native/arguments.ts';
import { ArgumentError, FileError } from '../native/errors.ts';
import { JsonFields } from '../native/fields.ts';
import { makeFolder, readJson, reasonOf, writeFileAtomically } from '../native/files.ts';
import { isAlive } from '../native/processes.ts';
import { type Dtype, fromTypedArray, itemSize, scope, type Tensor } from '../tensor/index.ts';
import { MappedPages } from '../tensor/mapped-pages.ts';
import type { FrozenEncoder } from './encoder.ts';

/** Options of {@link FeatureCache.open}. */
export interface FeatureCacheOptions extends Pick<LoaderOptions, 'workers' | 'maxBroken' | 'onBroken'> {
  /** The folder that caches are in; each has a subfolder, named by what it was made of. */
  directory: string;
  /** Makes the features; its weights are part of the name of the cache. */
  encoder: FrozenEncoder;
  /** Every picture of it is encoded, once. Open it with `grouped` where pictures have several captions. */
  dataset: Dataset;
  /** Must leave nothing to chance: a cache has one view of every picture. */
  transform: ImageTransform;
  /** Pictures that are encoded at a time; 32 unless told. */
  batchSize?: number;
  /** Is told how many pictures are done. */
  onProgress?: (pictures: number) => void;
  /** Ends the making of a cache, of which nothing is left then. */
  signal?: AbortSignal | undefined;
}

const DATA = 'features.bin';
const INDEX = 'index.json';
const FORMAT = 1;
/** Samples whose pictures are part of a cache's name: files of other data may have the same name, length and ids. */
const PROBED = 16;

interface Index {
  readonly dtype: Dtype;
  readonly shape: readonly [pictures: number, tokens: number, width: number];
}

/**
 * A frozen encoder's features on the disk, mapped into memory: what is used is read, and the system drops it again. `features.bin` holds
 * features `[n, N, W]` before the LayerNorm that is trained, and then the pictures' ids as int64 `[n]`.
 */
export class FeatureCache {
  /** Where it is. */
  readonly folder: string;
  readonly #pages: MappedPages;
  readonly #features: Tensor;
  readonly #rows: ReadonlyMap<number, number>;

  private constructor(folder: string, pages: MappedPages, { dtype, shape }: Index) {
    this.folder = folder;
    this.#pages = pages;
    this.#features = pages.lend(dtype, shape, 0);
    const end = shape.reduce((product, size) => product * size, itemSize(dtype));
    const ids = scope(() => pages.lend('int64', [shape[0]], end).data() as BigInt64Array);
    this.#rows = new Map(Array.from(ids, (id, row) => [Number(id), row]));
  }

  /**
   * Opens the cache of these pictures, weights and settings; makes it where it is not there yet. It appears whole or not at all.
   *
   * @throws ArgumentError for a transform with random crops or flips; FileError for a damaged cache, or a folder that cannot be written; the
   *   signal's reason once that is aborted
   */
  static async open(options: FeatureCacheOptions): Promise<FeatureCache> {
    checkArgument('options', options, having('directory', 'encoder', 'dataset', 'transform'));
    const { crop, flip } = options.transform;
    if (crop !== null || flip > 0) {
      const received = crop === null ? `flip ${flip}` : 'random crops';
      throw new ArgumentError(
        'transform',
        'one without random crops and flips, as cached features are of one view of each picture,',
        received,
      );
    }
    const { signal } = options;
    checkArgument('signal', signal, optional(having('throwIfAborted')));
    signal?.throwIfAborted();
    const folder = path.join(options.directory, `features-${(await keyOf(options)).slice(0, 16)}`);
    if (!fs.existsSync(folder)) await build(folder, options);
    signal?.throwIfAborted();
    const index = readIndex(path.join(folder, INDEX));
    const file = path.join(folder, DATA);
    const fail = (problem: string, cause?: ErrorOptions): Error => new FileError(file, problem, cause);
    const { pages } = MappedPages.open(file, fail, ({ size }) => {
      const expected = bytesOf(index);
      if (size !== expected) throw fail(`expected ${expected} bytes but it has ${size}; remove ${folder} to make it again`);
    });
    return new FeatureCache(folder, pages, index);
  }

  /** Pictures in it. */
  get size(): number {
    return this.#rows.size;
  }

  /** Whether a picture's features are in it. */
  has(imageId: number | string): boolean {
    checkArgument('imageId', imageId, anId);
    return this.#rows.has(numberOf(imageId));
  }

  /**
   * Features of pictures `[B, N, W]`, on the CPU.
   * @throws ArgumentError for a picture that is not in it
   */
  features(imageIds: readonly (number | string)[]): Tensor {
    checkArgument('imageIds', imageIds, arrayOf(anId));
    const rows = imageIds.map((id) => {
      const row = this.#rows.get(numberOf(id));
      if (row === undefined) throw new ArgumentError('imageIds', `pictures of ${this.folder}`, JSON.stringify(id));
      return row;
    });
    return scope(() => this.#features.indexSelect(0, fromTypedArray(Int32Array.from(rows))));
  }

  /** Lets go of the files. Features that were given out stay. */
  close(): void {
    this.#features.dispose();
    this.#pages.close();
  }
}

async function keyOf({ encoder, dataset, transform }: FeatureCacheOptions): Promise<string> {
  const made = {
    format: FORMAT,
    encoder: encoder.fingerprint(),
    transform,
    dataset: dataset.name,
    length: dataset.length ?? null,
    fingerprint: dataset.fingerprint ?? null,
    pictures: await firstPictures(dataset),
  };
  return createHash('sha256').update(JSON.stringify(made)).digest('hex');
}

/** SHA-256 over keys, ids and pictures of the first samples. */
async function firstPictures(dataset: Dataset): Promise<string> {
  const hash = createHash('sha256');
  const stream = dataset.stream({ seed: 0, shuffle: false, epochs: 1 });
  try {
    for (let i = 0; i < PROBED; i++) {
      const entry = (await stream.next())?.entry;
      if (entry === undefined) break;
      hash.update(JSON.stringify([entry.key, isBroken(entry) ? null : entry.imageId]));
      if (!isBroken(entry)) hash.update(bytesOfPicture(entry));
    }
  } finally {
    await stream.close();
  }
  return hash.digest('hex');
}

/** Nothing of a picture that cannot be read: it is left out later, and named then. */
function bytesOfPicture({ image }: Sample): Uint8Array {
  try {
    return readRange(image);
  } catch (error) {
    if (error instanceof FileError) return new Uint8Array();
    throw error;
  }
}

async function build(folder: string, options: FeatureCacheOptions): Promise<void> {
  sweep(folder);
  const temporary = path.join(
    path.dirname(folder),
    `.${path.basename(folder)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`,
  );
  try {
    makeFolder(temporary);
    const index = await write(path.join(temporary, DATA), options);
    writeFileAtomically(path.join(temporary, INDEX), `${JSON.stringify({ format: FORMAT, ...index })}\n`);
    fs.renameSync(temporary, folder);
  } catch (error) {
    fs.rmSync(temporary, { recursive: true, force: true });
    if (fs.existsSync(folder)) return; // another process was faster
    const system = typeof error === 'object' && error !== null && 'syscall' in error;
    throw system ? new FileError(folder, `cannot be written: ${reasonOf(error)}`, { cause: error }) : error;
  }
}

async function write(file: string, options: FeatureCacheOptions): Promise<Index> {
  const { encoder, dataset, transform, batchSize = 32, onProgress, workers, maxBroken, onBroken, signal } = options;
  const given = Object.fromEntries(Object.entries({ workers, maxBroken, onBroken }).filter(([, value]) => value !== undefined));
  const batches = loader(dataset, {
    batchSize,
    transform,
    shuffle: false,
    epochs: 1,
    cleanUp: (caption) => caption || '-',
    ...given,
  });
  const descriptor = fs.openSync(file, 'wx');
  const ids: bigint[] = [];
  const seen = new Set<bigint>();
  let shape: readonly number[] = [0, 0];
  try {
    for await (const batch of batches) {
      const own = batch.imageIds.data() as BigInt64Array;
      const rows = [...own.keys()].filter((row) => !seen.has(own[row] as bigint) && own.indexOf(own[row] as bigint) === row);
      scope(() => {
        if (rows.length === 0) return;
        const pictures = batch.pixelValues.indexSelect(0, fromTypedArray(Int32Array.from(rows), [rows.length]));
        const features = encoder.encode(pictures);
        shape = features.shape.slice(1);
        const data = features.data();
        writeAll(descriptor, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      });
      for (const row of rows) {
        seen.add(own[row] as bigint);
        ids.push(own[row] as bigint);
      }
      batch.dispose();
      onProgress?.(ids.length);
      await nextTurn(); // so that an abort is heard of
      signal?.throwIfAborted();
    }
    const end = BigInt64Array.from(ids);
    writeAll(descriptor, new Uint8Array(end.buffer));
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
    await batches.close();
  }
  if (ids.length === 0) throw new ArgumentError('dataset', `pictures in ${dataset.name}`, 'none');
  const [tokens = 0, width = 0] = shape;
  return { dtype: encoder.dtype, shape: [ids.length, tokens, width] };
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.byteLength; ) done += fs.writeSync(descriptor, bytes, done);
}

function readIndex(file: string): Index {
  const fields = new JsonFields(readJson(file), '', (field, expected, came) => {
    return new FileError(file, `expected ${expected} for ${field} but received ${came}`);
  });
  const dtype = fields.text('dtype');
  if (dtype !== 'float32' && dtype !== 'bfloat16') throw fields.refusal('dtype', 'float32 or bfloat16');
  const shape = fields.list('shape') ?? [];
  if (shape.length !== 3 || !shape.every((size) => Number.isSafeInteger(size) && (size as number) > 0)) {
    throw fields.refusal('shape', 'three positive integers');
  }
  if (fields.whole('format', FORMAT) !== FORMAT) throw fields.refusal('format', String(FORMAT));
  return { dtype, shape: shape as unknown as Index['shape'] };
}

function bytesOf({ dtype, shape: [pictures, tokens, width] }: Index): number {
  return pictures * (tokens * width * itemSize(dtype) + 8);
}

/** Removes what processes that are no more have left of this cache. */
function sweep(folder: string): void {
  const parent = path.dirname(folder);
  if (!fs.existsSync(parent)) return;
  for (const name of fs.readdirSync(parent)) {
    const [, base, pid] = /^\.(features-\w+)\.(\d+)\.\w+\.tmp$/.exec(name) ?? [];
    if (base === path.basename(folder) && !isAlive(Number(pid)))
      fs.rmSync(path.join(parent, name), { recursive: true, force: true });
  }
}
