import type { FileReader } from '../mapped-pages.ts';
import { quote } from '../tensor-file.ts';
import { Cursor } from './cursor.ts';
import type { TorchFileError } from './error.ts';
import { allowedGlobal } from './globals.ts';
import { Opaque, unpickle, type Value } from './pickle.ts';
import { StorageGlobal, StoredStorage } from './stored.ts';
import { readZip, type ZipEntry } from './zip.ts';

/** Makes an error of what is wrong at a place in the file. */
export type Fail = (field: string, problem: string, options?: ErrorOptions) => TorchFileError;

/** The longest pickle that is read: tensors' data is not in it. */
export const MAX_PICKLE_BYTES = 2 ** 26;

/**
 * The value in a file as `torch.save` has written since 1.6: a zip archive with one pickle, `data.pkl`, and an entry `data/<key>` for each
 * storage, in one folder.
 */
export function readArchive(reader: FileReader, fail: Fail): Value {
  const entries = readZip(reader, (problem, options) => fail('zip', problem, options));
  const [first = ''] = entries.keys();
  const folder = first.slice(0, first.indexOf('/') + 1);
  const find = (name: string): ZipEntry | undefined => {
    const entry = entries.get(`${folder}${name}`);
    if (entry?.unusable !== undefined) throw fail('zip', `the entry ${quote(folder + name)} ${entry.unusable}`);
    return entry;
  };
  if (entries.has(`${folder}constants.pkl`)) {
    throw fail('zip', 'is a TorchScript program, not weights: save the state_dict() of what torch.jit.load gives');
  }
  const pickle = find('data.pkl');
  if (folder === '' || pickle === undefined)
    throw fail('zip', 'expected an archive of torch.save, with a data.pkl in its folder');
  if (pickle.bytes > MAX_PICKLE_BYTES)
    throw fail('pickle', `expected at most ${MAX_PICKLE_BYTES} bytes but it has ${pickle.bytes}`);
  expectLittleEndian(reader, find('byteorder'), fail);

  const failure = (problem: string, options?: ErrorOptions): Error => fail('pickle', problem, options);
  const storages = new Storages(fail, (key, bytes) => {
    const stored = find(`data/${key}`);
    if (stored === undefined) throw fail(`storage ${quote(key)}`, 'is not in the archive');
    if (bytes > stored.bytes) throw fail(`storage ${quote(key)}`, `expected ${bytes} bytes but it has ${stored.bytes}`);
    return stored.position;
  });
  const cursor = new Cursor(reader, pickle.position, pickle.position + pickle.bytes, failure);
  return unpickle(cursor, { global: allowedGlobal, persistent: (id) => storages.of(id) }, failure);
}

function expectLittleEndian(reader: FileReader, entry: ZipEntry | undefined, fail: Fail): void {
  if (entry === undefined) return; // older than the entry
  const order = entry.bytes > 16 ? '' : reader.read(entry.position, entry.bytes).toString('latin1');
  if (order !== 'little') throw fail('byteorder', `expected "little" but received ${quote(order)}`);
}

/** The storages that a pickle names, each once. */
export class Storages {
  readonly all = new Map<string, StoredStorage>();
  readonly #fail: Fail;
  readonly #locate: (key: string, bytes: number) => number | null;

  /** @param locate where so many bytes of the storage `key` lie, where that is known by now */
  constructor(fail: Fail, locate: (key: string, bytes: number) => number | null) {
    this.#fail = fail;
    this.#locate = locate;
  }

  /** The storage of a persistent id: ('storage', class, key, device, elements), in old files with a view of another storage or None. */
  of(id: Value): StoredStorage {
    const [kind, type, key, , elements, view] = Array.isArray(id) ? id : [];
    if (kind === 'module') throw this.#fail('pickle', 'holds a whole module: save its state_dict()');
    const whole = Number.isSafeInteger(elements) && (elements as number) >= 0;
    if (kind !== 'storage' || !(type instanceof StorageGlobal) || typeof key !== 'string' || !whole || (view ?? null) !== null) {
      const came = type instanceof Opaque ? `one of ${type.describe()}` : 'another';
      throw this.#fail('pickle', `expected the id of a storage that is no view of another, but received ${came}`);
    }
    const known = this.all.get(key);
    if (known !== undefined) {
      if (known.dtype === type.dtype && known.elements === elements) return known;
      throw this.#fail(`storage ${quote(key)}`, 'is named with different dtypes or sizes');
    }
    const storage = new StoredStorage(key, type.dtype, elements as number, null);
    storage.position = this.#locate(key, storage.bytes);
    this.all.set(key, storage);
    return storage;
  }
}
