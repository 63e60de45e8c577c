import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { FileError, loadSafetensors, openSafetensors, saveSafetensors, scope, tensor } from '../../src/index.ts';
import { makeFolder } from '../../src/native/files.ts';
import { writeFolder } from '../../src/native/folders.ts';

let root: string;
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-folders-'));
});
afterEach(() => fs.rmSync(root, { recursive: true }));

test('folders are made with those that they lie in, and refused where that is for nobody to do', () => {
  const deep = path.join(root, 'a', 'b', 'c');
  makeFolder(deep);
  makeFolder(deep);
  expect(fs.statSync(deep).isDirectory()).toBe(true);
  const file = path.join(root, 'file');
  fs.writeFileSync(file, '');
  expect(() => makeFolder(file)).toThrow(/EEXIST/);
  expect(() => makeFolder(path.join(file, 'a', 'b'))).toThrow(/ENOTDIR/);
  if (process.platform === 'linux') expect(() => makeFolder('/proc/none/a/b')).toThrow(/ENOENT|EACCES|EPERM/);
});

/** Runs with moves and removals that fail from the `failing`th on, or only that one; gives how many there were, and the error. */
function failingAt(failing: number, forEver: boolean, run: () => void): { moves: number; error: unknown } {
  const { renameSync, rmSync, rmdirSync } = fs;
  let moves = 0;
  const broken =
    <A extends unknown[], R>(does: (...args: A) => R) =>
    (...args: A): R => {
      moves++;
      if (moves === failing || (forEver && moves > failing)) throw new Error('EIO: injected');
      return does(...args);
    };
  Object.assign(fs, { renameSync: broken(renameSync), rmSync: broken(rmSync), rmdirSync: broken(rmdirSync) });
  try {
    run();
    return { moves, error: undefined };
  } catch (error) {
    return { moves, error };
  } finally {
    Object.assign(fs, { renameSync, rmSync, rmdirSync });
  }
}

const NAMES = ['config.json', 'a.index.json', 'a', 'b', 'new'];
const content = (text: string, names: readonly string[]) => ({
  key: 'config.json',
  outdated: (name: string) => name === 'outdated',
  write: (folder: string) => {
    for (const name of names) fs.writeFileSync(path.join(folder, name), text);
  },
});
const listed = (at: string): Record<string, string> =>
  Object.fromEntries(
    fs
      .readdirSync(at)
      .filter((name) => !name.startsWith('.'))
      .map((name) => [name, fs.readFileSync(path.join(at, name), 'utf8')]),
  );

const OLD = { 'config.json': 'old', 'a.index.json': 'old', a: 'old', b: 'old', outdated: 'old', other: 'old' };
const NEW = { 'config.json': 'new', 'a.index.json': 'new', a: 'new', b: 'new', new: 'new', other: 'old' };

function replaced(failing: number, forEver: boolean) {
  const at = path.join(root, String(failing) + String(forEver));
  writeFolder(at, content('old', Object.keys(OLD)));
  const ended = failingAt(failing, forEver, () => writeFolder(at, content('new', NAMES)));
  return { at, ...ended };
}

test('files are replaced, outdated ones go, and others stay', () => {
  const { at, error } = replaced(0, false);
  expect([error, listed(at)]).toEqual([undefined, NEW]);
  expect(fs.readdirSync(at).sort()).toEqual(Object.keys(NEW).sort());
});

test('what fails is undone', () => {
  for (let failing = 1; failing <= 10; failing++) {
    const { at, error } = replaced(failing, false);
    expect(error).toBeInstanceOf(FileError);
    expect([failing, fs.readdirSync(at).sort(), listed(at)]).toEqual([failing, Object.keys(OLD).sort(), OLD]);
  }
});

test('a process that ends within it leaves the old files, the new ones, or none without which nothing is read', () => {
  const left = new Set<string>();
  for (let failing = 1; failing <= 11; failing++) {
    const { at } = replaced(failing, true);
    const now = listed(at);
    const key = now['config.json'];
    if (key === 'old') expect(now).toEqual(OLD);
    if (key === 'new') expect(now).toEqual(NEW);
    // Nor is a part of a checkpoint in several files taken for a whole one.
    const index = now['a.index.json'];
    if (index !== undefined) expect([failing, now.a, now.b]).toEqual([failing, index, index]);
    left.add(String(key));
    // Nothing is lost: what is not in its place is beside it.
    const aside = fs.readdirSync(at).filter((name) => name.startsWith('.'));
    if (key === undefined) {
      const old = listed(path.join(at, aside[0] as string, 'replaced'));
      expect(Object.keys({ ...old, ...now }).sort()).toEqual(expect.arrayContaining(Object.keys(OLD).sort()));
    }
  }
  expect(left).toEqual(new Set(['old', 'undefined', 'new']));
});

test('what is in the way of a file and is none is left alone', () => {
  const at = path.join(root, 'at');
  fs.mkdirSync(path.join(at, 'b'), { recursive: true });
  expect(() => writeFolder(at, content('new', NAMES))).toThrow(`${at}: cannot be written: b in it is no file`);
  expect(fs.readdirSync(at)).toEqual(['b']);
});

test('a checkpoint in several files over another is never taken for a part of each', () => {
  const file = path.join(root, 'model.safetensors');
  const save = (value: number): void =>
    scope(() => saveSafetensors(file, { a: tensor([value]), b: tensor([value]) }, { maxShardBytes: 4 }));
  const read = (): number[] => scope(() => [...loadSafetensors(root).values()].map((value) => value.item()));
  save(1);
  const { moves } = failingAt(0, false, () => save(1));
  let refused = 0;
  for (let failing = 1; failing <= moves; failing++) {
    save(1);
    failingAt(failing, true, () => save(2));
    if (fs.readdirSync(root).includes('model.safetensors.index.json')) expect(read()).toEqual([expect.any(Number), read()[0]]);
    else {
      expect(() => openSafetensors(root)).toThrow(FileError);
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(1);
});
