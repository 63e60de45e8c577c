import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Precompiled } from '../../src/data/text/precompiled.ts';
import { FileError, Tokenizer } from '../../src/index.ts';

const model = fs.readFileSync(path.join(import.meta.dirname, '../fixtures/text/spiece/spiece.model'));

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'spiece-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

function read(bytes: Uint8Array, config?: object): Tokenizer {
  fs.writeFileSync(path.join(folder, 'spiece.model'), bytes);
  if (config !== undefined) fs.writeFileSync(path.join(folder, 'tokenizer_config.json'), JSON.stringify(config));
  return Tokenizer.fromPretrained(folder);
}

/** A field of a message: a varint, or bytes. */
function field(number: number, value: number | Uint8Array): Buffer {
  return typeof value === 'number'
    ? Buffer.from([...varint(number * 8), ...varint(value)])
    : Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(value.length)]), value]);
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}

function piece(text: string, score: number, type = 1): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(score);
  return field(1, Buffer.concat([field(1, Buffer.from(text)), Buffer.from([2 * 8 + 5]), bytes, field(3, type)]));
}

const small = [
  piece('<pad>', 0, 3),
  piece('</s>', 0, 3),
  piece('<unk>', 0, 2),
  piece('▁a', -1),
  piece('b', -2),
  piece('<x>', 0, 4),
];
const trainer = (kind: number): Buffer => field(2, Buffer.concat([field(3, kind), field(40, 2)]));

test('pieces, kinds of tokens and the configuration of extra ids', () => {
  const tokenizer = read(Buffer.concat([...small, trainer(1)]), { extra_ids: 2, eos_token: '</s>' });
  expect(tokenizer.vocabSize).toBe(8);
  expect(tokenizer.encode('ab').inputIds).toEqual([[3, 4, 1]]);
  expect(tokenizer.encode('a<x>').inputIds).toEqual([[3, 5, 1]]);
  expect([...tokenizer.specialIds].sort()).toEqual([0, 1, 2, 6, 7]);
  expect(tokenizer.idToToken(7)).toBe('<extra_id_0>');
});

test.each<[string, () => Uint8Array, string]>([
  [
    'a BPE model',
    () => Buffer.concat([...small, trainer(2)]),
    'expected a Unigram model (1) for trainer_spec.model_type but received 2',
  ],
  ['a file that is cut off', () => model.subarray(0, model.length - 5), 'it ends within a field'],
  ['a file that ends within a number', () => Buffer.from([0x0a, 0xff]), 'it ends within a number'],
  ['a number without end', () => Buffer.alloc(20, 0xff), 'a number has more than ten bytes'],
  ['an unknown kind of field', () => Buffer.from([0x0b]), 'a field has wire type 3'],
  ['no pieces', () => trainer(1), 'it has no pieces'],
  ['nothing', () => Buffer.alloc(0), 'it has no pieces'],
  [
    'an unknown token beyond the pieces',
    () => Buffer.concat([piece('▁a', -1), trainer(1)]),
    'expected one of 1 pieces for trainer_spec.unk_id but received 2',
  ],
  [
    'a table of characters that is none',
    () => Buffer.concat([...small, trainer(1), field(3, field(2, Buffer.alloc(9, 1)))]),
    'charsmap',
  ],
])('%s is refused', (_, bytes, message) => {
  let error: unknown;
  try {
    read(bytes());
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(FileError);
  expect((error as FileError).file).toBe(path.join(folder, 'spiece.model'));
  expect((error as FileError).message).toContain(message);
});

test('no random bytes crash the reader or keep it', () => {
  let state = 7;
  const random = (): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state / 2 ** 32;
  };
  for (let i = 0; i < 200; i++) {
    const bytes = Buffer.from(model);
    for (let changes = 0; changes < 4; changes++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    try {
      read(bytes).encode('naïve café ﬁ ½ two  spaces');
    } catch (error) {
      expect(error).toBeInstanceOf(FileError);
    }
  }
});

describe('a table of characters', () => {
  test.each([
    ['nothing', []],
    ['a trie of no size', [0, 0, 0, 0]],
    ['a trie of an odd size', [5, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['a trie that is longer than the file', [8, 0, 0, 0, 0, 0, 0, 0]],
  ])('%s is refused', (_, bytes) => {
    expect(() => new Precompiled(Buffer.from(bytes))).toThrow('precompiled_charsmap');
  });

  test('whose trie points nowhere leaves text as it is', () => {
    const table = new Precompiled(Buffer.from([4, 0, 0, 0, 0, 4, 0, 0]));
    expect(table.normalize('naïve 👩‍👩‍👧 \u0000')).toBe('naïve 👩‍👩‍👧 \u0000');
  });
});
