import type { FileReader } from '../mapped-pages.ts';
import { quote } from '../tensor-file.ts';
import { type Fail, MAX_PICKLE_BYTES, Storages } from './archive.ts';
import { Cursor } from './cursor.ts';
import { allowedGlobal } from './globals.ts';
import { unpickle, type Value } from './pickle.ts';

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;
const COUNT_BYTES = 8;

/**
 * The value in a file as `torch.save` wrote before 1.6: the pickles of a magic number, a protocol number, facts of the machine, the value
 * itself and the storages' keys, then each storage with its number of elements before it.
 */
export function readLegacy(reader: FileReader, fail: Fail): Value {
  const failure = (problem: string, options?: ErrorOptions): Error => fail('pickle', problem, options);
  const cursor = new Cursor(reader, 0, Math.min(reader.size, MAX_PICKLE_BYTES), failure);
  const storages = new Storages(fail, () => null);
  const plain = (): Value => unpickle(cursor, { global: () => undefined, persistent: () => null }, failure);

  const [magic, protocol] = [plain(), plain()];
  if (magic !== MAGIC || protocol !== PROTOCOL) throw fail('pickle', 'expected the magic and protocol numbers of torch.save');
  const machine = plain();
  if (!(machine instanceof Map) || machine.get('little_endian') !== true) {
    throw fail('pickle', 'expected a file of a little-endian machine');
  }
  const value = unpickle(cursor, { global: allowedGlobal, persistent: (id) => storages.of(id) }, failure);
  const keys = plain();
  if (!Array.isArray(keys)) throw fail('pickle', 'expected a list of storages');

  let position = cursor.position;
  for (const key of keys) {
    const storage = typeof key === 'string' ? storages.all.get(key) : undefined;
    const field = typeof key === 'string' ? `storage ${quote(key)}` : 'pickle';
    if (storage === undefined || storage.position !== null) throw fail(field, 'expected each storage to be listed once');
    const start = position + COUNT_BYTES;
    const end = start + storage.bytes;
    if (end > reader.size) throw fail(field, `expected ${storage.bytes} bytes but the file ends before`);
    const count = reader.read(position, COUNT_BYTES).readBigUInt64LE();
    if (count !== BigInt(storage.elements)) throw fail(field, `expected ${storage.elements} elements but it has ${count}`);
    storage.position = start;
    position = end;
  }
  for (const { key, position: known } of storages.all.values()) {
    if (known === null) throw fail(`storage ${quote(key)}`, 'is not in the file');
  }
  return value;
}
