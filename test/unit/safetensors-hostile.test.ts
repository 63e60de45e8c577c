import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { FileError, loadSafetensors, openSafetensors, SafetensorsError, scope } from '../../src/index.ts';
import { random } from '../support/random.ts';

const fixtures = path.resolve('test/fixtures/safetensors');
let folder: string;
let count = 0;

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hostile-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

function write(content: Uint8Array, name = `${count++}.safetensors`): string {
  const file = path.join(folder, name);
  fs.writeFileSync(file, content);
  return file;
}

function fileOf(header: string, data = 0, length = BigInt(Buffer.byteLength(header))): Buffer {
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length);
  return Buffer.concat([size, Buffer.from(header), Buffer.alloc(data)]);
}

const entry = (fields: object): string => JSON.stringify({ x: { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...fields } });

test.each<[string, Buffer, string]>([
  ['an empty file', Buffer.alloc(0), 'header'],
  ['seven bytes', Buffer.alloc(7), 'header'],
  ['no header', fileOf(''), 'header'],
  ['a header longer than the file', fileOf('{}', 0, 3n), 'header'],
  ['a header of 2⁶⁴ − 1 bytes', fileOf('{}', 0, 2n ** 64n - 1n), 'header'],
  ['no JSON', fileOf('hello'), 'header'],
  ['white space before the header', fileOf(' {}'), 'header'],
  ['an array', fileOf('[]'), 'header'],
  ['half a header', fileOf('{"x":{"dtype":"F32"'), '"x"'],
  ['text after the header', fileOf('{} x'), 'header'],
  ['bytes that are no UTF-8', fileOf('{}').fill(0xff, 9), 'header'],
  ['deep nesting', fileOf(`{"x":${'['.repeat(1e6)}`), '"x"'],
  ['nesting in a shape', fileOf(entry({ shape: [[2]] }), 8), '"x".shape'],
  ['a missing dtype', fileOf('{"x":{"shape":[2],"data_offsets":[0,8]}}', 8), '"x".dtype'],
  ['an unknown dtype', fileOf(entry({ dtype: 'F128' }), 8), '"x".dtype'],
  ['a dtype off the prototype', fileOf(entry({ dtype: 'constructor' }), 8), '"x".dtype'],
  ['a dtype that is a number', fileOf(entry({ dtype: 6 }), 8), '"x".dtype'],
  ['a narrower dtype', fileOf(entry({ dtype: 'F16' }), 8), '"x".data_offsets'],
  ['a missing shape', fileOf('{"x":{"dtype":"F32","data_offsets":[0,8]}}', 8), '"x".shape'],
  ['a negative size', fileOf(entry({ shape: [-2] }), 8), '"x".shape'],
  ['a fraction', fileOf(entry({ shape: [2.5] }), 8), '"x".shape'],
  ['an exponent', fileOf('{"x":{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}}', 8), '"x".shape'],
  ['a leading zero', fileOf('{"x":{"dtype":"F32","shape":[02],"data_offsets":[0,8]}}', 8), '"x".shape'],
  ['a number beyond 2⁵³', fileOf('{"x":{"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,8]}}', 8), '"x".shape'],
  ['a product beyond 2⁵³', fileOf(entry({ shape: [2 ** 30, 2 ** 30] }), 8), '"x".data_offsets'],
  ['huge sizes beside a zero', fileOf(entry({ shape: [2 ** 40, 0, 2 ** 40], data_offsets: [0, 0] })), '"x".data_offsets'],
  ['a hundred dimensions', fileOf(entry({ shape: Array(100).fill(1) }), 8), '"x".shape'],
  ['an element of two that is cut in half', fileOf(entry({ dtype: 'F4', shape: [2, 3], data_offsets: [0, 3] }), 3), '"x".shape'],
  ['half a byte', fileOf(entry({ dtype: 'F4', shape: [3], data_offsets: [0, 1] }), 1), '"x".data_offsets'],
  ['missing offsets', fileOf('{"x":{"dtype":"F32","shape":[2]}}', 8), '"x".data_offsets'],
  ['one offset', fileOf(entry({ data_offsets: [8] }), 8), '"x".data_offsets'],
  ['three offsets', fileOf(entry({ data_offsets: [0, 8, 16] }), 8), '"x".data_offsets'],
  ['an end before the beginning', fileOf(entry({ data_offsets: [8, 0] }), 8), '"x".data_offsets'],
  ['fewer bytes than the shape', fileOf(entry({ data_offsets: [0, 4] }), 4), '"x".data_offsets'],
  ['a gap at the start', fileOf(entry({ data_offsets: [8, 16] }), 16), '"x".data_offsets'],
  ['data that is cut off', fileOf(entry({}), 7), 'data'],
  ['data beyond the last tensor', fileOf(entry({}), 9), 'data'],
  ['data without a tensor', fileOf('{}', 1), 'data'],
  ['an unknown field', fileOf(entry({ stride: [1] }), 8), '"x".stride'],
  ['a field twice', fileOf('{"x":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 8), '"x".dtype'],
  ['a tensor twice', fileOf(`${entry({}).slice(0, -1)},${entry({}).slice(1)}`, 8), '"x"'],
  ['a lone surrogate', fileOf(entry({}).replace('"x"', '"\\ud800"'), 8), 'header'],
  ['metadata twice', fileOf('{"__metadata__":{},"__metadata__":{}}'), '"__metadata__"'],
  ['metadata that is no text', fileOf('{"__metadata__":{"a":1}}'), '__metadata__."a"'],
  ['metadata that is null', fileOf('{"__metadata__":null}'), '__metadata__'],
])('%s is refused', (_, content, field) => {
  const file = write(content);
  let error: unknown;
  try {
    openSafetensors(file);
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(SafetensorsError);
  expect(error).toMatchObject({ file, field, code: 'ERR_FILE' });
});

test('overlaps are refused', () => {
  const header = {
    x: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
    y: { dtype: 'F32', shape: [2], data_offsets: [4, 12] },
  };
  expect(() => openSafetensors(write(fileOf(JSON.stringify(header), 12)))).toThrow(/"y"\.data_offsets: .* an overlap/);
});

test('a header of more than 100 MB is refused unread', () => {
  const file = write(fileOf('{}', 0, 100_000_001n));
  fs.truncateSync(file, 100_000_100); // sparse
  expect(() => openSafetensors(file)).toThrow(/expected 2 to 100000000 bytes/);
});

test('names that mean something to JavaScript are only names', () => {
  const header =
    '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"constructor":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}';
  const read = loadSafetensors(write(fileOf(header, 2)));
  expect([...read.keys()]).toEqual(['__proto__', 'constructor']);
});

test('a dtype without a tensor type is listed but cannot be had', () => {
  const opened = openSafetensors(write(fileOf(entry({ dtype: 'F6_E2M3', shape: [4], data_offsets: [0, 3] }), 3)));
  expect(opened.info('x')).toMatchObject({ dtype: undefined, storedDtype: 'F6_E2M3', shape: [4], bytes: 3 });
  expect(() => opened.get('x')).toThrow(SafetensorsError);
});

test('data that is not aligned is copied', () => {
  const content = fileOf('{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]} }', 4);
  expect(content.length % 4).not.toBe(0);
  content.writeFloatLE(1.5, content.length - 4);
  expect(loadSafetensors(write(content)).get('x')?.toArray()).toEqual([1.5]);
});

test.each([
  ['no file', {}, 'weight_map'],
  ['a list', { weight_map: [] }, 'weight_map'],
  ['a number', { weight_map: { a: 1 } }, 'weight_map."a"'],
  ['the folder above', { weight_map: { a: '../x.safetensors' } }, 'weight_map."a"'],
  ['an absolute path', { weight_map: { a: '/etc/x.safetensors' } }, 'weight_map."a"'],
  ['a backslash', { weight_map: { a: '..\\x.safetensors' } }, 'weight_map."a"'],
  ['a NUL', { weight_map: { a: 'x\0.safetensors' } }, 'weight_map."a"'],
  ['another kind of file', { weight_map: { a: 'passwd' } }, 'weight_map."a"'],
  ['a tensor that is not there', { weight_map: { a: 'there.safetensors' } }, 'weight_map."a"'],
])('an index that names %s is refused', (_, index, field) => {
  write(fileOf(entry({}), 8), 'there.safetensors');
  const file = write(Buffer.from(JSON.stringify(index)), 'model.safetensors.index.json');
  expect(() => openSafetensors(file)).toThrow(SafetensorsError);
  expect(() => openSafetensors(file)).toThrow(expect.objectContaining({ file, field }));
});

test('an index that is no JSON, nests deeply, is too large or names a missing shard is refused', () => {
  const index = (text: string): string => write(Buffer.from(text), 'bad.safetensors.index.json');
  expect(() => openSafetensors(index('{'))).toThrow(/bad\.safetensors\.index\.json: expected JSON/);
  expect(() => openSafetensors(index(`{"a":${'['.repeat(1e6)}`))).toThrow(/nested at most 64 deep/);
  expect(() => openSafetensors(index('{"weight_map":{"a":"gone.safetensors"}}'))).toThrow(/gone\.safetensors: .*ENOENT/);
  fs.truncateSync(index('{}'), 2 ** 26);
  expect(() => openSafetensors(path.join(folder, 'bad.safetensors.index.json'))).toThrow(/at most 33554432 bytes/);
});

test('a tensor in two shards is the one that the index says, else an error', () => {
  write(fileOf(entry({}), 8), 'one.safetensors');
  const two = fileOf(entry({}), 8);
  two.writeFloatLE(7, two.length - 8);
  write(two, 'two.safetensors');
  const said = write(Buffer.from('{"weight_map":{"x":"two.safetensors"}}'), 'said.index.json');
  expect(loadSafetensors(said).get('x')?.toArray()).toEqual([7, 0]);
});

test('a folder, a missing file, a path with a NUL and a device are refused', () => {
  for (const source of [fs.mkdtempSync(path.join(folder, 'empty-')), path.join(folder, 'gone'), 'a\0b', '/dev/null']) {
    expect(() => openSafetensors(source)).toThrow(FileError);
  }
});

const NUMBERS = [
  '-1',
  '0',
  '1',
  '3',
  '2.5',
  '1e3',
  '9007199254740992',
  '18446744073709551616',
  '999999999999999999999',
  'null',
  '[1]',
  '""',
];
const DTYPES = ['"F64"', '"F32"', '"BF16"', '"I8"', '"BOOL"', '"F4"', '"f32"', '"C64"', '7', '{}'];

/** One change of the kind that damage, a bug or malice makes. */
function mutate(original: Buffer, below: (limit: number) => number): Buffer {
  const length = Number(original.readBigUInt64LE());
  const header = original.toString('latin1', 8, 8 + length);
  const data = original.subarray(8 + length);
  const rebuilt = (text: string): Buffer => {
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(text.length));
    return Buffer.concat([size, Buffer.from(text, 'latin1'), data]);
  };
  const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;
  const replaceOne = (pattern: RegExp, by: string): Buffer => {
    const found = pick([...header.matchAll(pattern)]);
    return rebuilt(header.slice(0, found.index) + by + header.slice(found.index + found[0].length));
  };
  const copy = Buffer.from(original);
  switch (below(10)) {
    case 0: // a bit of the header flips
      {
        const at = below(8 + length);
        copy[at] = copy.readUInt8(at) ^ (1 << below(8));
      }
      return copy;
    case 1: // a byte of the header is anything
      copy[8 + below(length)] = below(256);
      return copy;
    case 2: // cut off
      return copy.subarray(0, below(copy.length));
    case 3: // longer
      return Buffer.concat([copy, Buffer.alloc(1 + below(100))]);
    case 4: // another length of the header
      copy.writeBigUInt64LE(BigInt(below(2) ? below(2 ** 31) : length - 8 + below(16)));
      return copy;
    case 5:
      return replaceOne(/\d+/g, pick(NUMBERS));
    case 6:
      return replaceOne(/"[A-Z]+\d[A-Z0-9_]*"/g, pick(DTYPES));
    case 7: {
      // a stretch of the header is gone
      const from = below(length);
      return rebuilt(header.slice(0, from) + header.slice(from + 1 + below(40)));
    }
    case 8: {
      // a stretch is there twice
      const from = below(length);
      const to = from + 1 + below(120);
      return rebuilt(header.slice(0, to) + header.slice(from));
    }
    default: // data change: whatever the bits, they are values
      copy[8 + length + below(data.length)] = below(256);
      return copy;
  }
}

test('a thousand mutated files: each is refused with a typed error or loads within its bounds', () => {
  const originals = ['every-dtype.safetensors', 'shards/model-00001-of-00003.safetensors'].map((name) =>
    fs.readFileSync(path.join(fixtures, name)),
  );
  const below = random(20230130);
  let refused = 0;
  let loaded = 0;
  for (let i = 0; i < 1000; i++) {
    const content = mutate(originals[i % 2] as Buffer, below);
    const file = write(content, 'mutated.safetensors');
    scope(() => {
      try {
        const opened = openSafetensors(file);
        const held = opened.names.map((name) => opened.info(name).bytes).reduce((sum, size) => sum + size, 0);
        expect(8 + Number(content.readBigUInt64LE()) + held).toBe(content.length);
        for (const name of opened.names) {
          const { dtype, shape } = opened.info(name);
          if (dtype === undefined) expect(() => opened.get(name)).toThrow(SafetensorsError);
          else if (dtype !== 'complex64') expect(opened.get(name).data().length).toBe(shape.reduce((n, size) => n * size, 1));
        }
        opened.close();
        loaded++;
      } catch (error) {
        if (!(error instanceof FileError)) throw error;
        expect(error.file).toBe(file);
        refused++;
      }
    });
  }
  expect(refused).toBeGreaterThan(500);
  expect(loaded).toBeGreaterThan(100);
});
