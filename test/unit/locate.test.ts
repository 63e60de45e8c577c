import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { addonName, buildDirectory, candidates, inspect, libraryFile, prebuildDirectory } from '../../src/native/locate.ts';

const room = mkdtempSync(path.join(tmpdir(), 'blip2-locate-'));
const root = path.join(room, 'package');
const empty = path.join(room, 'empty');

afterAll(() => rmSync(room, { recursive: true, force: true }));

function write(file: string, text = ''): string {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

/** A folder that looks like libtorch. */
function libtorch(directory: string, version: string): string {
  for (const name of ['c10', 'torch_cpu']) write(libraryFile(directory, name));
  write(path.join(directory, 'version.py'), `from typing import Optional\n__version__ = '${version}+cu130'\n`);
  return directory;
}

beforeAll(() => {
  write(path.join(buildDirectory(root), addonName('2.13.0')));
  mkdirSync(empty);
});

test('LIBTORCH comes first, then the active Python, then the cache; the first with an addon is taken', () => {
  const own = libtorch(path.join(room, 'own'), '2.11.0');
  const python = libtorch(path.join(room, 'venv/lib/python3.12/site-packages/torch'), '2.13.0');
  const cached = libtorch(path.join(room, 'cache/blip2/torch-2.13.0-cpu/torch'), '2.13.0');
  const newer = libtorch(path.join(room, 'cache/blip2/torch-2.14.0-cuda/torch'), '2.14.0');
  write(path.join(room, 'cache/blip2/.staging-abc/torch/version.py'), "__version__ = '2.13.0'");
  const env = { LIBTORCH: own, VIRTUAL_ENV: path.join(room, 'venv'), XDG_CACHE_HOME: path.join(room, 'cache'), PATH: empty };
  expect(candidates(env, root)).toEqual([
    {
      source: 'LIBTORCH',
      directory: own,
      version: '2.11.0',
      addons: [],
      taken: false,
      reason: 'no addon was built for libtorch 2.11.0',
    },
    expect.objectContaining({ source: 'VIRTUAL_ENV', directory: python, version: '2.13.0', taken: true }),
    expect.objectContaining({
      source: 'cache',
      directory: newer,
      taken: false,
      reason: 'no addon was built for libtorch 2.14.0',
    }),
    expect.objectContaining({ source: 'cache', directory: cached, taken: false, reason: 'an earlier one was taken' }),
  ]);
});

test('a prebuilt addon is preferred to the local build', () => {
  const own = libtorch(path.join(room, 'own13'), '2.13.0');
  const other = path.join(room, 'other');
  const local = write(path.join(buildDirectory(other), addonName('2.13.0')));
  const first = () => candidates({ LIBTORCH: own, PATH: empty }, other)[0]?.addons;
  expect(first()).toEqual([local]);
  const prebuilt = write(path.join(prebuildDirectory(other), addonName('2.13.0')));
  expect(first()).toEqual([prebuilt, local]);
});

test('what cannot be used is named with its reason', () => {
  const partial = path.join(room, 'partial');
  write(libraryFile(partial, 'c10'));
  const env = { LIBTORCH: partial, CONDA_PREFIX: empty, XDG_CACHE_HOME: path.join(room, 'no-cache') };
  expect(candidates(env, root).map(({ source, reason }) => [source, reason])).toEqual([
    ['LIBTORCH', `no ${path.relative(partial, libraryFile(partial, 'torch_cpu'))} in it`],
    ['CONDA_PREFIX', 'this Python has no torch'],
    ['cache', 'nothing there: `npx blip2 setup` fills it'],
  ]);
});

test('python3 on PATH is followed by its files alone: to its prefix, to its virtual environment, and not through a script', () => {
  const prefix = path.join(room, 'usr');
  const binary = write(path.join(prefix, 'bin/python3.12'), '\x7fELF');
  const system = libtorch(path.join(prefix, 'lib/python3.12/dist-packages/torch'), '2.13.0');
  const bin = path.join(room, 'bin');
  mkdirSync(bin);
  symlinkSync(binary, path.join(bin, 'python3'));
  const first = (folder: string) => candidates({ PATH: `${empty}${path.delimiter}${folder}`, XDG_CACHE_HOME: empty }, root)[0];
  expect(first(bin)).toMatchObject({ source: 'python3 on PATH', directory: system, taken: true });

  const venv = path.join(room, 'venv2');
  write(path.join(venv, 'pyvenv.cfg'));
  mkdirSync(path.join(venv, 'bin'));
  symlinkSync(binary, path.join(venv, 'bin/python3'));
  const inside = libtorch(path.join(venv, 'lib/python3.12/site-packages/torch'), '2.13.0');
  expect(first(path.join(venv, 'bin'))).toMatchObject({ directory: inside, taken: true });

  const shims = path.dirname(write(path.join(room, 'shims/python3'), '#!/usr/bin/env bash\n'));
  expect(first(shims)).toMatchObject({ taken: false, reason: expect.stringContaining('a script, not a Python') });
});

test('the version comes from a wheel, from the C++ archive, or from the headers', () => {
  const bare = (name: string) => {
    const directory = path.join(room, name);
    for (const library of ['c10', 'torch_cpu']) write(libraryFile(directory, library));
    return directory;
  };
  expect(inspect(libtorch(path.join(room, 'wheel'), '2.12.1'))).toEqual({ version: '2.12.1' });
  const archive = bare('archive');
  write(path.join(archive, 'build-version'), '2.14.0+cpu\n');
  expect(inspect(archive)).toEqual({ version: '2.14.0' });
  const headers = bare('headers');
  const defines = ['MAJOR 2', 'MINOR 15', 'PATCH 0'].map((part) => `#define TORCH_VERSION_${part}`).join('\n');
  write(path.join(headers, 'include/torch/headeronly/version.h'), defines);
  expect(inspect(headers)).toEqual({ version: '2.15.0' });
  expect(inspect(bare('nothing'))).toEqual({ problem: 'its version is not to be found' });
});

test('the addon is built from every source file in native/ but the opener', () => {
  const listed = readFileSync('native/sources.txt', 'utf8').trim().split('\n');
  const present = readdirSync('native').filter((name) => name.endsWith('.cc') && name !== 'opener.cc');
  expect(listed.sort()).toEqual(present.sort());
});
