import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The environment variables that the search reads. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A place where libtorch may be, and what the search made of it. */
export interface Candidate {
  /** How the place came up, such as `LIBTORCH` or `VIRTUAL_ENV`. */
  readonly source: string;
  /** The folder with `lib/` and `include/`, or where it was looked for. */
  readonly directory: string;
  /** Such as `2.13.0`; undefined where there is no usable libtorch. */
  readonly version: string | undefined;
  /** The addons that were built for this version: the prebuilt one first, then the local build. */
  readonly addons: readonly string[];
  readonly taken: boolean;
  /** Why it was taken or passed over. */
  readonly reason: string;
}

/** The package's root, with `native/` and `dist/` in it. */
export const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

const librarySuffix = process.platform === 'darwin' ? '.dylib' : '.so';

/** The file of one of libtorch's libraries, by its bare name, such as `torch_cpu`. */
export function libraryFile(directory: string, name: string): string {
  return path.join(directory, 'lib', `lib${name}${librarySuffix}`);
}

/** Where the prebuilt addons of this platform lie. */
export function prebuildDirectory(root: string = packageRoot): string {
  return path.join(root, 'prebuilds', `${process.platform}-${process.arch}`);
}

/** Where the local build puts its addons. */
export function buildDirectory(root: string = packageRoot): string {
  return path.join(root, 'build', 'Release');
}

/** The file name of the addon for a version of libtorch. */
export function addonName(version: string): string {
  return `blip2-torch-${version}.node`;
}

/** Where a built file is: among the prebuilt ones first, then in the local build. */
export function builtFiles(name: string, root: string = packageRoot): string[] {
  return [prebuildDirectory(root), buildDirectory(root)]
    .map((folder) => path.join(folder, name))
    .filter((file) => existsSync(file));
}

/** The versions of libtorch that there is an addon for, and where it is. */
export function builtAddons(root: string = packageRoot): { version: string; file: string }[] {
  return [prebuildDirectory(root), buildDirectory(root)].flatMap((folder) =>
    list(folder).flatMap((name) => {
      const version = /^blip2-torch-(.+)\.node$/.exec(name)?.[1];
      return version === undefined ? [] : [{ version, file: path.join(folder, name) }];
    }),
  );
}

/** The folder that `blip2 setup` fills. */
export function cacheDirectory(env: Environment): string {
  const cache = env.XDG_CACHE_HOME;
  return path.join(cache !== undefined && path.isAbsolute(cache) ? cache : path.join(homedir(), '.cache'), 'blip2');
}

/** Reads the version of the libtorch in a folder, or says in `problem` why there is none to use. */
export function inspect(directory: string): { version: string } | { problem: string } {
  if (!existsSync(directory)) return { problem: 'no such folder' };
  for (const name of ['c10', 'torch_cpu']) {
    const file = libraryFile(directory, name);
    if (!existsSync(file)) return { problem: `no ${path.relative(directory, file)} in it` };
  }
  const version = versionOf(directory);
  return version === undefined ? { problem: 'its version is not to be found' } : { version };
}

function versionOf(directory: string): string | undefined {
  const wheel = /^__version__\s*=\s*['"](\d+\.\d+\.\d+)/m.exec(read(path.join(directory, 'version.py')))?.[1];
  if (wheel !== undefined) return wheel;
  const archive = /^(\d+\.\d+\.\d+)/.exec(read(path.join(directory, 'build-version')))?.[1];
  if (archive !== undefined) return archive;
  const header = read(path.join(directory, 'include/torch/headeronly/version.h'));
  const parts = ['MAJOR', 'MINOR', 'PATCH'].map((part) => new RegExp(`define TORCH_VERSION_${part} (\\d+)`).exec(header)?.[1]);
  return parts.includes(undefined) ? undefined : parts.join('.');
}

/**
 * Every place where libtorch may be, in the order of resolution: `LIBTORCH`, the torch of the active Python, the cache that
 * `blip2 setup` fills. The first one that an addon was built for is taken.
 */
export function candidates(env: Environment = process.env, root: string = packageRoot): Candidate[] {
  let taken = false;
  return [...places(env)].map(({ source, directory, problem }) => {
    const found = problem === undefined ? inspect(directory) : { problem };
    if ('problem' in found) return { source, directory, version: undefined, addons: [], taken: false, reason: found.problem };
    const { version } = found;
    const addons = builtFiles(addonName(version), root);
    const take = addons.length > 0 && !taken;
    const reason = take
      ? 'the first that an addon was built for'
      : addons.length === 0
        ? `no addon was built for libtorch ${version}`
        : 'an earlier one was taken';
    taken ||= take;
    return { source, directory, version, addons, taken: take, reason };
  });
}

interface Place {
  source: string;
  directory: string;
  problem?: string;
}

function* places(env: Environment): Generator<Place> {
  if (env.LIBTORCH) yield { source: 'LIBTORCH', directory: env.LIBTORCH };
  yield* pythonPlaces(env);
  const cache = cacheDirectory(env);
  const entries = list(cache).filter((name) => /^torch-\d+\.\d+\.\d+-(cpu|cuda)$/.test(name));
  // The newest first, and of one version the CUDA one, which the user asked for by name.
  entries.sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
  for (const name of entries) yield { source: 'cache', directory: path.join(cache, name, 'torch') };
  if (entries.length === 0) yield { source: 'cache', directory: cache, problem: 'nothing there: `npx blip2 setup` fills it' };
}

function* pythonPlaces(env: Environment): Generator<Place> {
  let active = false;
  for (const source of ['VIRTUAL_ENV', 'CONDA_PREFIX']) {
    const prefix = env[source];
    if (!prefix) continue;
    active = true;
    yield torchUnder(source, [prefix]);
  }
  if (active) return;
  const source = 'python3 on PATH';
  const binary = (env.PATH ?? '')
    .split(path.delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => path.join(folder, 'python3'))
    .find((file) => existsSync(file));
  if (binary === undefined) return;
  if (startsWith(binary, '#!')) {
    // A shim (pyenv's, for one) finds its Python by running; that would cost every start what a Python's start costs.
    yield { source, directory: binary, problem: 'a script, not a Python: set LIBTORCH or activate a virtual environment' };
    return;
  }
  // In a virtual environment that was not activated, the link's own folder counts, not what it links to.
  const own = path.dirname(path.dirname(binary));
  const prefix = existsSync(path.join(own, 'pyvenv.cfg')) ? own : path.dirname(path.dirname(realpathSync(binary)));
  yield torchUnder(source, [prefix, ...(prefix === '/usr' ? ['/usr/local'] : []), path.join(homedir(), '.local')]);
}

function torchUnder(source: string, prefixes: readonly string[]): Place {
  const found = prefixes.flatMap((prefix) =>
    list(path.join(prefix, 'lib'))
      .filter((name) => name.startsWith('python3'))
      .flatMap((name) => ['site-packages', 'dist-packages'].map((sites) => path.join(prefix, 'lib', name, sites, 'torch')))
      .filter((directory) => existsSync(path.join(directory, 'lib'))),
  );
  const [directory] = found;
  return directory === undefined
    ? { source, directory: prefixes[0] ?? '', problem: 'this Python has no torch' }
    : { source, directory };
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function startsWith(file: string, start: string): boolean {
  const bytes = Buffer.alloc(start.length);
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, bytes, 0, start.length, 0);
  } finally {
    closeSync(descriptor);
  }
  return bytes.toString('latin1') === start;
}
