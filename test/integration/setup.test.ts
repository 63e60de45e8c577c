// `blip2 setup` as a process, without a network: on small archives that look like libtorch, and with a Python that is a script.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { candidates, packageRoot } from '../../src/native/locate.ts';
import { zip } from '../support/zip.ts';

const room = mkdtempSync(path.join(tmpdir(), 'blip2-setup-'));
// What really is used here; given as LIBTORCH it is what the last step, a trial, loads.
const real = candidates().find(({ taken }) => taken);

afterAll(() => rmSync(room, { recursive: true, force: true }));

const suffix = process.platform === 'darwin' ? '.dylib' : '.so';

function libtorchArchive(name: string, extra: { name: string; data: string }[] = [], version = real?.version ?? ''): string {
  const top = name.endsWith('.zip') ? 'libtorch' : 'torch';
  const file = path.join(room, name);
  writeFileSync(
    file,
    zip([
      { name: `${top}/lib/libc10${suffix}`, data: 'c10' },
      { name: `${top}/lib/libtorch_cpu${suffix}`, data: 'cpu' },
      { name: `${top}/lib/libtorch_python${suffix}`, data: 'python' },
      { name: `${top}/include/ATen/ATen.h`, data: '// header' },
      { name: `${top}/build-version`, data: `${version}+cpu\n` },
      ...extra,
    ]),
  );
  return file;
}

function digest(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

interface Ended {
  status: number | null;
  output: string;
}

function start(cache: string, args: readonly string[], env: NodeJS.ProcessEnv = { LIBTORCH: real?.directory }): ChildProcess {
  const main = path.join(packageRoot, 'dist/cli/main.js');
  return spawn(process.execPath, [main, 'setup', ...args], {
    env: { PATH: process.env.PATH, HOME: room, ...env, XDG_CACHE_HOME: cache },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function ended(child: ChildProcess): Promise<Ended> {
  let output = '';
  child.stdout?.on('data', (chunk) => (output += chunk));
  child.stderr?.on('data', (chunk) => (output += chunk));
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, output })));
}

const setup = (...args: Parameters<typeof start>) => ended(start(...args));

function cacheFolder(name: string): string {
  const cache = path.join(room, name);
  mkdirSync(path.join(cache, 'blip2'), { recursive: true });
  return cache;
}

test('libtorch that is there is used', async () => {
  const { status, output } = await setup(cacheFolder('there'), []);
  expect(output).toContain(`libtorch ${real?.version} of ${real?.directory} (LIBTORCH) is used`);
  expect(status).toBe(0);
});

test('the C++ archive is checked, unpacked without what is of no use, and what an interrupted setup left is cleared away', async () => {
  const archive = libtorchArchive('libtorch.zip');
  const cache = cacheFolder('archive');
  const left = path.join(cache, 'blip2/.staging-interrupted/content');
  mkdirSync(left, { recursive: true });
  writeFileSync(path.join(cache, 'blip2/setup.lock'), '999999999');
  const { status, output } = await setup(cache, ['--from', archive, '--sha256', digest(archive)]);
  expect(output).toContain('SHA-256 of the file: right');
  expect(status).toBe(0);
  expect(readdirSync(path.join(cache, 'blip2'))).toEqual([`torch-${real?.version}-cpu`]);
  const unpacked = readdirSync(path.join(cache, 'blip2', `torch-${real?.version}-cpu`), { recursive: true }).map(String);
  expect(unpacked).toContain('torch/include/ATen/ATen.h');
  expect(unpacked.filter((name) => name.includes('python'))).toEqual([]);
});

test('two at once do not hurt each other', async () => {
  const archive = libtorchArchive('twice.zip');
  const cache = cacheFolder('twice');
  const args = ['--from', archive, '--sha256', digest(archive)];
  const both = await Promise.all([setup(cache, args), setup(cache, args), setup(cache, args)]);
  expect(both.map(({ status }) => status)).toEqual([0, 0, 0]);
  expect(readdirSync(path.join(cache, 'blip2'))).toEqual([`torch-${real?.version}-cpu`]);
});

test('one that is killed in mid-work leaves nothing that counts, and the next one ends well', async () => {
  const filler = Array.from({ length: 1000 }, (_, index) => ({ name: `libtorch/include/${index}.h`, data: 'x'.repeat(2000) }));
  const archive = libtorchArchive('killed.zip', filler);
  const cache = cacheFolder('killed');
  const args = ['--from', archive, '--sha256', digest(archive)];
  const child = start(cache, args);
  const end = ended(child);
  // The archive is being unpacked as soon as the staging folder has content.
  while (!readdirSync(path.join(cache, 'blip2')).some((name) => existsSync(path.join(cache, 'blip2', name, 'content/torch')))) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  child.kill('SIGKILL');
  await end;
  const left = readdirSync(path.join(cache, 'blip2'));
  expect(left.some((name) => name.startsWith('.staging-'))).toBe(true);
  expect(left.some((name) => name.startsWith('torch-'))).toBe(false);
  expect((await setup(cache, args)).status).toBe(0);
  expect(readdirSync(path.join(cache, 'blip2'))).toEqual([`torch-${real?.version}-cpu`]);
});

test.each([
  [
    'of an unknown digest',
    () => ['--from', libtorchArchive('unknown.zip')],
    /unknown\.zip: its SHA-256 is [0-9a-f]{64}, which is none of the known/,
  ],
  ['that is missing', () => ['--from', path.join(room, 'missing.whl')], /missing\.whl: no such file or folder/],
  [
    'with a version that is not supported',
    () => {
      const file = libtorchArchive('old.zip', [], '2.1.0');
      return ['--from', file, '--sha256', digest(file)];
    },
    /libtorch 2\.1\.0 is not supported/,
  ],
  [
    "that lacks NVIDIA's libraries beside it",
    () => {
      const file = libtorchArchive('torch.whl', [
        { name: 'torch-1.dist-info/METADATA', data: 'Requires-Dist: nvidia-nccl-cu13==2\n' },
      ]);
      return ['--from', file, '--sha256', digest(file)];
    },
    /needs libcudart\.so: give the wheel of nvidia-cuda-runtime \(13\.0\.96\)/,
  ],
  [
    'with an entry that points elsewhere',
    () => {
      const file = libtorchArchive('slip.zip', [{ name: 'libtorch/include/../../../../slipped.h', data: '' }]);
      return ['--from', file, '--sha256', digest(file)];
    },
    /slip\.zip: cannot be unpacked|points outside/,
  ],
])('an archive %s is refused, and the cache stays empty', async (_what, args, message) => {
  const cache = cacheFolder('refused');
  const { status, output } = await setup(cache, args());
  expect(output).toMatch(message);
  expect(output).not.toMatch(/^\s+at /m);
  expect(status).toBe(1);
  expect(readdirSync(path.join(cache, 'blip2'))).toEqual([]);
});

/** A folder with a python3 that answers as told when it is asked to download. */
function python(name: string, download: string): string {
  const folder = path.join(room, name);
  mkdirSync(folder);
  const file = path.join(folder, 'python3');
  writeFileSync(file, `#!/bin/sh\ncase "$*" in *--version*) exit 0;; esac\n${download}\n`);
  chmodSync(file, 0o755);
  return `${folder}:/usr/bin:/bin`;
}

// Only Linux has digests of every wheel, so elsewhere the refusal comes earlier.
const onLinux = process.platform === 'linux' ? test : test.skip;

onLinux('without a network it says what to put where', async () => {
  const env = { PATH: python('offline', 'echo "ERROR: no route to host" >&2; exit 1') };
  const { status, output } = await setup(cacheFolder('offline-cache'), [], env);
  expect(output).toContain('ERROR: no route to host');
  expect(output).toContain('set LIBTORCH to a torch folder');
  expect(output).toContain('npx blip2 setup --from FOLDER');
  expect(output).toContain('torch==2.13.0');
  expect(output).toContain('nvidia-cuda-cupti==13.0.85');
  expect(status).toBe(1);
});

onLinux('without any pip it says so', async () => {
  const { status, output } = await setup(cacheFolder('no-pip-cache'), [], { PATH: room });
  expect(output).toContain('no pip was found (tried python3 -m pip, pip3, python -m pip, uvx pip)');
  expect(status).toBe(1);
});

onLinux('a download with a wrong digest is refused', async () => {
  // Saves something as torch's wheel into the folder after --dest.
  const save = 'while [ "$1" != --dest ]; do shift; done; echo evil > "$2/torch-2.13.0-cp312-cp312-manylinux_2_28_x86_64.whl"';
  const cache = cacheFolder('evil-cache');
  const { status, output } = await setup(cache, [], { PATH: python('evil', save) });
  expect(output).toMatch(/torch-2\.13\.0.*\.whl: its SHA-256 is/);
  expect(status).toBe(1);
  expect(readdirSync(path.join(cache, 'blip2'))).toEqual([]);
});
