import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { unpack } from '../../src/cli/unpack.ts';
import { FileError } from '../../src/native/errors.ts';
import { zip } from '../support/zip.ts';

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
