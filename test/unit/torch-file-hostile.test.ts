import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { FileError, openTorchFile, TorchFileError } from '../../src/index.ts';
import { global, type Part, pickle, type TensorFields, tensorOf, text, torchArchive, tuple } from '../support/pickle.ts';
import { zip } from '../support/zip.ts';

const fixtures = path.join(import.meta.dirname, '../fixtures/torch');
let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(tmpdir(), 'blip2-torch-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

function write(content: Buffer | string, name = 'weights.pth'): string {
  const file = path.join(folder, name);
  fs.writeFileSync(file, content);
  return file;
}

/** The problem, after the file's name. */
function problem(file: string): string {
  try {
    openTorchFile(file).close();
  } catch (error) {
    expect(error).toBeInstanceOf(TorchFileError);
    expect((error as TorchFileError).file).toBe(file);
    return (error as TorchFileError).message.slice(file.length + 2);
  }
  throw new Error('nothing was thrown');
}

const ofPickle = (...parts: Part[]): string => problem(write(torchArchive(pickle(...parts))));

test('what the hostile files are made from opens', () => {
  const opened = openTorchFile(write(torchArchive(pickle('}', text('x'), tensorOf(), 's'))));
  expect(opened.get('x').toArray()).toEqual([
    [0, 1, 2],
    [3, 4, 5],
  ]);
});

describe('files of torch.save that are not weights', () => {
  test.each([
    ['attack.pth', /names "posix.system", but only what makes dense tensors and plain values may be named; it was not run/],
    ['attack.legacy.pth', /names "posix.system"/],
    ['module.pth', /names "torch.nn.modules.container.Sequential"/],
    ['sparse.pth', /names "torch._utils._rebuild_sparse_tensor"/],
    ['conjugated.pth', /lazily changed \(conj\)/],
    ['script.pt', /a TorchScript program/],
  ])('%s', (name, message) => {
    expect(problem(path.join(fixtures, name))).toMatch(message);
    expect(fs.existsSync('attacked')).toBe(false);
  });
});

describe('names that a pickle may not use', () => {
  test.each([
    ['os', 'system'],
    ['builtins', 'eval'],
    ['builtins', 'getattr'],
    ['builtins', '__import__'],
    ['torch.hub', 'load'],
    ['torch', 'load'],
    ['torch', '__proto__'],
    ['torch', 'constructor'],
    ['__proto__', 'x'],
    ['numpy.core.multiarray', '_reconstruct'],
    ['', ''],
  ])('%s.%s', (module, name) => {
    expect(ofPickle(global(module, name))).toMatch(/^pickle: before byte \d+: names /);
    expect(ofPickle(text(module), text(name), 0x93)).toMatch(/^pickle: before byte \d+: names /);
  });

  test.each<[string, Part[], RegExp]>([
    ['a dtype that is called', [global('torch', 'float32'), ')R'], /torch.float32 is called, which is no function/],
    ['a class that is called', [global('torch', 'FloatStorage'), ')R'], /torch.FloatStorage is called/],
    ['text that is called', [text('print'), ')R'], /a plain value is called/],
    ['a function without a tuple', [global('torch._utils', '_rebuild_tensor_v2'), 'NR'], /is called/],
    ['__new__ of a class', [global('collections', 'OrderedDict'), ')', 0x81], /the operation 0x81 is none/],
    ['a class by INST', ['(ios\nsystem\n'], /the operation 0x69/],
    ['an extension', [0x82, 1], /the operation 0x82/],
    ['a buffer from outside', [0x97], /the operation 0x97/],
    ['attributes of text', [text('x'), 'Nb'], /only dicts/],
    ['a dict made of another', [global('collections', 'OrderedDict'), '}', 0x85, 'R'], /made empty/],
    ['a set of a function', [global('builtins', 'set'), global('builtins', 'set'), 0x85, 'R'], /expected values/],
    ['a device of devices', [global('torch', 'device'), tuple(text('x'.repeat(33))), 'R'], /expected a device/],
    [
      'a class of tensors',
      [global('torch._tensor', '_rebuild_from_type_v2'), tuple(...[1, 2, 3, 4].map(() => 'N')), 'R'],
      /are not read/,
    ],
    [
      'a class of tensors that calls another function',
      [
        global('torch._tensor', '_rebuild_from_type_v2'),
        tuple(global('torch', 'device'), global('torch', 'Tensor'), ')', 'N'),
        'R',
      ],
      /are not read/,
    ],
    ['a parameter of no tensor', [global('torch._utils', '_rebuild_parameter'), tuple('N', 'N', 'N'), 'R'], /of a tensor/],
  ])('%s', (_, parts, message) => {
    expect(ofPickle(...parts)).toMatch(message);
  });
});

describe('damaged pickles', () => {
  test.each<[string, Part[], RegExp]>([
    ['nothing', [], /takes more from the stack/],
    ['a mark that nothing set', ['t'], /there is none/],
    ['an item from before the mark', ['N(', 0x85], /takes more from the stack/],
    ['the top from before the mark', ['N(q', 0], /takes more from the stack/],
    ['a memo that is empty', ['h', 9], /recalls the value 9/],
    ['a list that is none', ['NNa'], /a list to append to/],
    ['a dict that is none', ['NNNs'], /a dict and pairs/],
    ['a key without a value', ['}(Nu'], /a dict and pairs/],
    ['a list as a key', ['}]Ns'], /text or numbers as keys/],
    ['text beyond the end', ['X', Buffer.of(255, 255, 255, 127)], /expected 2147483647 bytes at byte \d+ but it ends there/],
    ['text of 2⁶³ bytes', [0x8d, Buffer.alloc(8, 255)], /beyond any file/],
    ['a frame of 2⁶³ bytes', [0x95, Buffer.alloc(8, 255)], /beyond any file/],
    ['text that is not UTF-8', ['U', 1, 0xff], /UTF-8/],
    ['a whole number of 2,000 bytes', [0x8b, Buffer.of(0xd0, 7, 0, 0), Buffer.alloc(2000)], /at most 1024 bytes/],
    ['a name without an end', ['c', 'x'.repeat(2000)], /a line of ASCII/],
    ['a name that is no text', ['NN', 0x93], /the name of a global/],
    ['an id of nothing', ['NQ'], /the id of a storage/],
    ['an id of a module', [tuple(text('module'), 'N'), 'Q'], /a whole module/],
  ])('%s', (_, parts, message) => {
    expect(ofPickle(...parts)).toMatch(message);
  });

  test.each([0, 1, 6, 255])('protocol %i', (protocol) => {
    expect(problem(write(torchArchive(Buffer.of(0x80, protocol, 0x4e, 0x2e))))).toMatch(/protocol 2 to 5/);
  });

  test('no STOP', () => {
    expect(problem(write(torchArchive(Buffer.of(0x80, 2, 0x4e))))).toMatch(/it ends there/);
  });
});

describe('values that would grow without bound', () => {
  test('a list in itself', () => {
    expect(ofPickle(']q', 1, 'h', 1, 'a')).toMatch(/"0": contains itself/);
    expect(ofPickle('}q', 1, text('a'), ']h', 1, 'as')).toMatch(/"a.0": contains itself/);
  });

  test('deep nesting', () => {
    const deep = (depth: number): Buffer => torchArchive(pickle('N', Buffer.alloc(depth, 0x85)));
    expect(openTorchFile(write(deep(64))).scalars.size).toBe(1);
    expect(problem(write(deep(65)))).toMatch(/nested at most 64 deep/);
    expect(problem(write(deep(3_000_000)))).toMatch(/nested at most 64 deep/);
  });

  test('ten of the list before, thirty times', () => {
    const layer = (i: number): Buffer =>
      Buffer.concat([
        Buffer.from(
          '](h_h_h_h_h_h_h_h_h_h_eq^'.replace(/_/g, String.fromCharCode(i)).replace('^', String.fromCharCode(i + 1)),
          'latin1',
        ),
      ]);
    const layers = Array.from({ length: 30 }, (_, i) => layer(i));
    expect(ofPickle('Nq', 0, ...layers)).toMatch(/stands for more values than a file of its size should/);
  });

  test('a long key on every way', () => {
    const long = text('k'.repeat(1_000_000));
    const inner = ['}q', 1, '(', ...Array.from({ length: 200 }, (_, i) => [text(String(i)), 'N']).flat(), 'u'];
    expect(ofPickle('}', long, ...inner, 's')).toMatch(/stands for more values/);
  });

  test('more operations than any checkpoint has', () => {
    const heap = process.memoryUsage().heapUsed;
    expect(ofPickle('N', Buffer.alloc(20_000_000, Buffer.from('N0')))).toMatch(/at most 8388608 operations/);
    expect(process.memoryUsage().heapUsed - heap).toBeLessThan(2 ** 28);
  });

  test('a pickle longer than any', () => {
    const file = write(torchArchive(Buffer.alloc(2 ** 26 + 1)));
    expect(problem(file)).toMatch(/expected at most 67108864 bytes/);
  });

  test('two values of one name', () => {
    expect(ofPickle('}(', text('a.b'), 'N', text('a'), '}', text('b'), 'Nsu')).toMatch(/"a.b": is the name of two values/);
  });
});

describe('tensors that do not lie in their storage', () => {
  test.each<[string, TensorFields, RegExp]>([
    ['sizes too large', { sizes: [2, 4], strides: [4, 1] }, /inside the 24 bytes of the storage "0"/],
    ['strides too large', { strides: [4, 1] }, /inside the 24 bytes/],
    ['an offset too large', { offset: 1 }, /inside the 24 bytes/],
    ['a negative offset', { offset: -1 }, /an offset of a tensor as whole numbers from 0/],
    ['a negative size', { sizes: [-2, 3] }, /sizes of a tensor as whole numbers from 0/],
    ['a negative stride', { strides: [-3, 1] }, /strides of a tensor/],
    ['a size of 2⁶²', { sizes: [2n ** 62n, 3] }, /sizes of a tensor/],
    ['sizes whose product wraps round', { sizes: [2 ** 40, 2 ** 40], strides: [0, 0] }, /at most 2⁵³ bytes/],
    ['sizes beyond with a 0 among them', { sizes: [2 ** 40, 0, 2 ** 40], strides: [0, 0, 0] }, /at most 2⁵³ bytes/],
    ['an offset that wraps round', { offset: 2n ** 53n - 1n }, /inside the 24 bytes/],
    ['strides that wrap round', { strides: [2n ** 53n - 1n, 1] }, /inside the 24 bytes/],
    ['too few strides', { strides: [1] }, /as many strides as the 2 sizes but received 1/],
    ['too many dimensions', { sizes: new Array(65).fill(1), strides: new Array(65).fill(0) }, /at most 64 of them/],
    ['a storage that is not there', { key: '1' }, /storage "1": is not in the archive/],
    ['a storage of another folder', { key: '../data.pkl' }, /is not in the archive/],
    ['more elements than the storage has', { elements: 7 }, /expected 28 bytes but it has 24/],
    ['negative elements', { elements: -1 }, /the id of a storage/],
    ['2⁶² elements', { elements: 2n ** 62n }, /the id of a storage/],
    ['2⁵⁰ elements', { elements: 2 ** 50 }, /expected 4503599627370496 bytes but it has 24/],
    ['a quantized dtype', { type: 'QInt8Storage' }, /names "torch.QInt8Storage"/],
    ['a dtype in place of a class of storages', { type: 'float32' }, /but received one of torch.float32/],
    ['a wider dtype', { type: 'DoubleStorage' }, /expected 48 bytes but it has 24/],
  ])('%s', (_, fields, message) => {
    expect(ofPickle(tensorOf(fields))).toMatch(message);
  });

  test('one storage under two dtypes', () => {
    expect(ofPickle('](', tensorOf(), tensorOf({ type: 'IntStorage' }), 'e')).toMatch(/different dtypes or sizes/);
  });

  test('a view of a storage without a dtype', () => {
    const bytes = Buffer.from(
      tensorOf().toString('latin1').replace('ctorch\nFloatStorage', 'ctorch.storage\nUntypedStorage'),
      'latin1',
    );
    expect(ofPickle(bytes)).toMatch(/to have a dtype/);
  });

  test('expanding takes no memory', () => {
    const opened = openTorchFile(write(torchArchive(pickle(tensorOf({ sizes: [2 ** 25, 2 ** 25], strides: [0, 0] })))));
    expect(
      opened
        .get('')
        .select(0, 2 ** 25 - 1)
        .select(0, 5)
        .item(),
    ).toBe(0);
  });
});

describe('broken archives', () => {
  const good = torchArchive(pickle('}', text('x'), tensorOf(), 's'));
  const END = good.length - 22;
  const directory = good.readUInt32LE(END + 16);
  /** Where the directory's record of an entry begins. */
  const record = (name: string): number => good.lastIndexOf(Buffer.from(name)) - 46;
  const changed = (change: (copy: Buffer) => void): string => {
    const copy = Buffer.from(good);
    change(copy);
    return problem(write(copy));
  };

  test.each<[string, (copy: Buffer) => void, RegExp]>([
    ['no directory', (copy) => copy.fill(0, END), /the directory at the end is missing/],
    ['a directory beyond the file', (copy) => copy.writeUInt32LE(2 ** 31, END + 16), /right before its end record/],
    ['a shorter directory', (copy) => copy.writeUInt32LE(50, END + 12), /right before its end record/],
    ['a directory of another disk', (copy) => copy.writeUInt16LE(1, END + 4), /right before its end record/],
    ['another count', (copy) => copy.writeUInt32LE(0x90009, END + 8), /expected 9 entries/],
    ['no record', (copy) => copy.writeUInt32LE(0, directory), /damaged at byte 0/],
    ['a name beyond the directory', (copy) => copy.writeUInt16LE(60_000, directory + 28), /damaged at byte 0/],
    ['an entry beyond the file', (copy) => copy.writeUInt32LE(2 ** 30, record('archive/version') + 42), /is damaged/],
    ['an entry at another', (copy) => copy.writeUInt32LE(0, record('archive/version') + 42), /is not where the directory says/],
    [
      'a longer entry',
      (copy) => copy.writeBigUInt64LE(0x3c_0000003cn, record('archive/data/0') + 20),
      /the entry "archive\/data\/0" of 60 bytes runs into/,
    ],
    ['a size that is not the stored one', (copy) => copy.writeUInt32LE(2 ** 31, record('archive/data/0') + 24), /is damaged/],
    ['an encrypted entry', (copy) => copy.writeUInt16LE(1, record('archive/data/0') + 8), /is encrypted/],
    ['a method in one place only', (copy) => copy.writeUInt16LE(8, record('archive/data/0') + 10), /is not where/],
    ['ZIP64 sizes that are not there', (copy) => copy.writeUInt32LE(2 ** 32 - 1, record('archive/data/0') + 24), /is damaged/],
  ])('%s', (_, change, message) => {
    expect(changed(change)).toMatch(message);
  });

  test('compressed entries are refused, not unpacked', () => {
    const at = record('archive/data/0');
    const packed = changed((copy) => {
      copy.writeUInt16LE(8, at + 10);
      copy.writeUInt16LE(8, good.readUInt32LE(at + 42) + 8);
      copy.writeUInt32LE(2 ** 31, at + 24); // a bomb's size
    });
    expect(packed).toBe('zip: the entry "archive/data/0" is compressed, which torch.save does not do');
  });

  test.each<[string, Parameters<typeof zip>[0], RegExp]>([
    ['no pickle', [{ name: 'archive/x', data: '' }], /with a data.pkl in its folder/],
    ['no folder', [{ name: 'data.pkl', data: pickle('N') }], /with a data.pkl in its folder/],
    ['nothing', [], /expected what torch.save writes|with a data.pkl/],
    [
      'an entry twice',
      [
        { name: 'a/data.pkl', data: pickle('N') },
        { name: 'a/data.pkl', data: pickle('}') },
      ],
      /is there twice/,
    ],
    [
      'big-endian values',
      [
        { name: 'a/data.pkl', data: pickle('N') },
        { name: 'a/byteorder', data: 'big' },
      ],
      /byteorder: expected "little" but received "big"/,
    ],
  ])('%s', (_, entries, message) => {
    expect(problem(write(zip(entries)))).toMatch(message);
  });

  test.each(['views.pth', 'views.legacy.pth'])('%s cut off anywhere', (name) => {
    const whole = fs.readFileSync(path.join(fixtures, name));
    for (let length = 0; length < whole.length; length += 13) {
      expect(problem(write(whole.subarray(0, length)))).toMatch(/./);
    }
  });

  test.each<[string, Buffer | string, RegExp]>([
    ['an empty file', '', /expected what torch.save writes/],
    ['text', 'PKPKPKPK', /expected what torch.save writes/],
    ['a pickle that is none of torch.save', pickle('N'), /it ends there/],
    ['numbers that are not the magic ones', Buffer.concat([pickle('N'), pickle('N'), pickle('N')]), /magic and protocol numbers/],
  ])('%s', (_, content, message) => {
    expect(problem(write(content))).toMatch(message);
  });

  test('a folder, a missing file, a path with a NUL and a device', () => {
    for (const source of [fs.mkdtempSync(path.join(folder, 'empty-')), path.join(folder, 'gone'), 'a\0b', '/dev/null']) {
      expect(() => openTorchFile(source)).toThrow(FileError);
    }
  });
});

test("an index's files stay in its folder and have its tensors", () => {
  const index = (map: unknown): string => write(JSON.stringify({ weight_map: map }), 'pytorch_model.bin.index.json');
  write(torchArchive(pickle('}', text('x'), tensorOf(), 's')), 'one.bin');
  expect(openTorchFile(index({ x: 'one.bin' })).get('x').shape).toEqual([2, 3]);
  expect(problem(index({ y: 'one.bin' }))).toMatch(/weight_map."y": expected the tensor in one.bin/);
  for (const name of ['../one.bin', '/etc/one.bin', 'one.pth', '.bin', 7]) {
    expect(problem(index({ x: name }))).toMatch(/expected the name of a .bin file beside it/);
  }
});

test('the old format: storages that are listed wrongly', () => {
  const file = fs.readFileSync(path.join(fixtures, 'views.legacy.pth'));
  const keys = file.lastIndexOf(Buffer.from('X\x0e\0\0\0')) + 5; // the last of the listed ones
  const change = (edit: (copy: Buffer) => void): string => {
    const copy = Buffer.from(file);
    edit(copy);
    return problem(write(copy));
  };
  expect(change((copy) => copy.write('7', keys))).toMatch(/expected each storage to be listed once/);
  const last = file.length - 4 * 24 - 8; // the count before the last storage
  expect(change((copy) => copy.writeUInt8(23, last))).toMatch(/expected 24 elements but it has 23/);
});
