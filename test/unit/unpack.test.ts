import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { archivesIn } from '../../src/cli/setup.ts';
import { unpack } from '../../src/cli/unpack.ts';
import { FileError } from '../../src/native/errors.ts';
import { type ZipEntry, zip } from '../support/zip.ts';

const room = mkdtempSync(path.join(tmpdir(), 'blip2-unpack-'));
const target = path.join(room, 'deep', 'target');

afterAll(() => rmSync(room, { recursive: true, force: true }));

function archive(name: string, entries: Parameters<typeof zip>[0]): string {
  const file = path.join(room, name);
  writeFileSync(file, zip(entries));
  return file;
}

const everything = (entry: string) => entry;
const quiet = () => undefined;

test('chosen entries are unpacked, under the names that they are given', async () => {
  const file = archive('good.zip', [
    { name: 'a/', data: '' },
    { name: 'a/one.txt', data: 'one' },
    { name: 'b/two.txt', data: 'two' },
    { name: 'b/three.txt', data: 'three' },
  ]);
  const seen: [number, number][] = [];
  const place = (entry: string) => (entry.endsWith('two.txt') ? undefined : entry.replace('a/', 'renamed/'));
  expect(await unpack(file, target, place, (...bytes) => seen.push(bytes))).toBe(2);
  expect(readFileSync(path.join(target, 'renamed/one.txt'), 'utf8')).toBe('one');
  expect(readdirSync(path.join(target, 'b'))).toEqual(['three.txt']);
  expect(seen.at(-1)).toEqual([8, 8]);
});

test.each([
  ['climbs', '../../escaped.txt'],
  ['is absolute', '/tmp/blip2-escaped.txt'],
  ['climbs with backslashes', '..\\..\\escaped.txt'],
])('an entry that %s is refused, and nothing is written', async (_what, name) => {
  const file = archive('slip.zip', [
    { name: 'first.txt', data: 'fine' },
    { name, data: 'evil' },
  ]);
  const folder = path.join(room, 'slip', 'inner');
  await expect(unpack(file, folder, everything, quiet)).rejects.toThrow(FileError);
  expect(existsSync(path.join(room, 'slip'))).toBe(false);
  expect(existsSync(path.join(room, 'escaped.txt'))).toBe(false);
});

test('a place outside the folder is refused even where the entry has a harmless name', async () => {
  const file = archive('place.zip', [{ name: 'x', data: 'x' }]);
  await expect(unpack(file, path.join(room, 'p'), () => '../q', quiet)).rejects.toThrow('points outside');
});

test('absurd sizes, wrong sizes, cut-off archives and other files are refused', async () => {
  const folder = path.join(room, 'bad');
  const huge = Array.from({ length: 5 }, (_, index) => ({ name: `${index}`, data: '', claimed: 0xfffffffe }));
  await expect(unpack(archive('huge.zip', huge), folder, everything, quiet)).rejects.toThrow(/more than any libtorch|compressed/);
  const lying = archive('lying.zip', [{ name: 'x', data: 'short', claimed: 500 }]);
  await expect(unpack(lying, folder, everything, quiet)).rejects.toThrow(FileError);
  const whole = zip([{ name: 'x', data: 'content' }]);
  const cut = path.join(room, 'cut.zip');
  writeFileSync(cut, whole.subarray(0, whole.length - 30));
  await expect(unpack(cut, folder, everything, quiet)).rejects.toThrow(/cut\.zip: cannot be unpacked/);
  const text = path.join(room, 'text.zip');
  writeFileSync(text, 'no archive at all');
  await expect(unpack(text, folder, everything, quiet)).rejects.toThrow(FileError);
  await expect(unpack(path.join(room, 'missing.zip'), folder, everything, quiet)).rejects.toThrow(FileError);
});

test('archives that would fill the disk, and too many entries, are refused before anything is written', async () => {
  const folder = path.join(room, 'bomb');
  const zeros = Buffer.alloc(2 ** 20);
  const bomb = archive('bomb.zip', [{ name: 'x', data: zeros, deflate: true }]);
  await expect(unpack(bomb, folder, everything, quiet)).rejects.toThrow(
    /bomb\.zip: unpacks to 1048576 bytes, more than 100 times/,
  );
  // Many entries, all of the same bytes of the archive.
  const whole = zip([{ name: 'a', data: zeros, deflate: true }]);
  const listing = whole.subarray(whole.indexOf('PK\x01\x02'), whole.indexOf('PK\x05\x06'));
  const end = Buffer.from(whole.subarray(whole.indexOf('PK\x05\x06')));
  end.writeUInt16LE(5000, 8);
  end.writeUInt16LE(5000, 10);
  end.writeUInt32LE(5000 * listing.length, 12);
  const names = Array.from({ length: 5000 }, (_, i) => {
    const one = Buffer.from(listing);
    one[one.length - 1] = 97 + (i % 26);
    return one;
  });
  const overlapping = path.join(room, 'overlapping.zip');
  writeFileSync(overlapping, Buffer.concat([whole.subarray(0, whole.indexOf('PK\x01\x02')), ...names, end]));
  await expect(unpack(overlapping, folder, everything, quiet)).rejects.toThrow(/unpacks to 5242880000 bytes/);
  expect(existsSync(folder)).toBe(false);
});

test('an entry that says less than it holds is stopped at what it says', async () => {
  const folder = path.join(room, 'less');
  const file = archive('less.zip', [{ name: 'x', data: Buffer.alloc(2 ** 24), deflate: true, claimed: 1000 }]);
  await expect(unpack(file, folder, everything, quiet)).rejects.toThrow(/less\.zip: cannot be unpacked: too many bytes/);
  expect(statSync(path.join(folder, 'x')).size).toBeLessThanOrEqual(1000);
});

test.each<[string, ZipEntry[], RegExp]>([
  [
    'the same name twice',
    [
      { name: 'a', data: '1' },
      { name: 'a', data: '2' },
    ],
    /EEXIST/,
  ],
  [
    'a file where a folder is needed',
    [
      { name: 'a', data: '1' },
      { name: 'a/b', data: '2' },
    ],
    /EEXIST|ENOTDIR/,
  ],
  ['a name that is too long', [{ name: 'a'.repeat(300), data: '1' }], /ENAMETOOLONG/],
  ['content of another checksum', [{ name: 'a', data: '1', checksum: 7 }], /content of its entry a is damaged/],
])('%s is a FileError', async (_what, entries, message) => {
  const file = archive('odd.zip', entries);
  const error: unknown = await unpack(file, mkdtempSync(path.join(room, 'odd-')), everything, quiet).catch((reason) => reason);
  expect(error).toBeInstanceOf(FileError);
  expect(String(error)).toMatch(message);
});

test('an archive in an archive stays one, and thousands of entries are unpacked', async () => {
  const inner = zip([{ name: 'deep', data: 'deep' }]);
  const many = Array.from({ length: 3000 }, (_, i) => ({ name: `many/${i % 7}/${i}`, data: String(i) }));
  const file = archive('nested.zip', [{ name: 'inner.zip', data: inner }, ...many]);
  const folder = path.join(room, 'nested');
  expect(await unpack(file, folder, everything, quiet)).toBe(3001);
  expect(readFileSync(path.join(folder, 'inner.zip'))).toEqual(inner);
  expect(readFileSync(path.join(folder, 'many/6/2939'), 'utf8')).toBe('2939');
});

test('pipes, devices and folders are refused at once, by --from too', async () => {
  const pipe = path.join(room, 'pipe.zip');
  execFileSync('mkfifo', [pipe]);
  const link = path.join(room, 'link.zip');
  symlinkSync('/dev/zero', link);
  for (const place of [pipe, '/dev/zero', link, room]) {
    await expect(unpack(place, path.join(room, 'none'), everything, quiet)).rejects.toThrow(/expected a regular file/);
  }
  for (const place of [pipe, '/dev/zero', link]) expect(() => archivesIn(place)).toThrow(/not a pipe or a device/);
  expect(() => archivesIn(room)).toThrow(/(?:pipe|link)\.zip: expected a regular file/);
  expect(() => archivesIn(path.join(room, 'missing'))).toThrow(/no such file or folder/);
  const empty = mkdtempSync(path.join(room, 'empty-'));
  expect(() => archivesIn(empty)).toThrow(/no \.whl or \.zip/);
  writeFileSync(path.join(empty, 'a.whl'), '');
  expect(archivesIn(empty)).toEqual([path.join(empty, 'a.whl')]);
});
