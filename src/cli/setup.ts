import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { FileError, SetupError } from '../native/errors.ts';
import { reasonOf } from '../native/files.ts';
import {
  addonName,
  buildDirectory,
  type Candidate,
  cacheDirectory,
  candidates,
  inspect,
  libraryFile,
  prebuildDirectory,
} from '../native/locate.ts';
import { withLock } from '../native/lock.ts';
import { buildAddon, isCurrent, type Log, type Target } from './build.ts';
import { byHand, download, sha256 } from './fetch.ts';
import { Progress } from './progress.ts';
import { type Place, unpack } from './unpack.ts';
import { cpuCompanions, pinnedVersion, type Wheel, wheels } from './wheels.ts';

/** What the user asked for. */
export interface SetupOptions {
  /** Fetch libtorch with CUDA and all that it needs. */
  readonly cuda: boolean;
  /** Wheels, C++ archives, or folders of them, instead of a download. */
  readonly from: readonly string[];
  /** SHA-256 digests to accept for files of `from` that are not the pinned ones. */
  readonly sha256: readonly string[];
}

/** How `setup` left the installation, for a program. */
export interface SetupResult {
  /** The libtorch that it is for. */
  readonly libtorch: Target;
  readonly addon: string;
  /** `'prebuilt'`, `'present'` (built before) or `'built'` now. */
  readonly how: 'prebuilt' | 'present' | 'built';
}

/** Finds or fetches libtorch, and builds the addon for it where none fits. Safe to run again, and twice at once. */
export async function setup(options: SetupOptions, log: Log): Promise<SetupResult> {
  const given = options.from.length > 0;
  const found = given ? undefined : usable(options.cuda, log);
  if (found !== undefined) log(`libtorch ${found.version} of ${found.directory} (${found.source}) is used`);
  const target = found ?? (await fill(options, log));
  let problem: string | undefined;
  if (hasPrebuild(target, log)) {
    problem = trial(target, log);
    if (problem === undefined) return resultOf(target, 'prebuilt');
    // One built on a newer system, say; the loader then takes the local build.
    log(`the prebuilt addon does not load:\n${problem}`);
  }
  const built = await buildAddon(target, log);
  const result = resultOf(target, built ? 'built' : 'present');
  if (!built && found !== undefined && problem === undefined) return result;
  problem = trial(target, log);
  if (problem !== undefined) throw new SetupError(`the addon does not load:\n${problem}`);
  return result;
}

function resultOf({ directory, version }: Target, how: SetupResult['how']): SetupResult {
  const folder = how === 'prebuilt' ? prebuildDirectory() : buildDirectory();
  return { libtorch: { directory, version }, addon: path.join(folder, addonName(version)), how };
}

// The loader prefers a prebuilt addon, so in a checkout whose sources have changed since, the old one must go.
function hasPrebuild({ version }: Target, log: Log): boolean {
  const prebuilt = path.join(prebuildDirectory(), addonName(version));
  if (!existsSync(prebuilt)) return false;
  if (isCurrent(prebuilt, version)) return true;
  log(`${prebuilt} is of other sources than these, and removed`);
  rmSync(prebuilt);
  return false;
}

/** The versions that the sources are known to compile and work with. */
export function isSupported(version: string): boolean {
  const [major, minor] = version.split('.').map(Number);
  return major === 2 && minor !== undefined && minor >= 11 && minor <= 15;
}

type Found = Target & Pick<Candidate, 'source'>;

function usable(cuda: boolean, log: Log): Found | undefined {
  const passed: string[] = [];
  for (const candidate of candidates()) {
    const { source, directory, version } = candidate;
    const problem = problemOf(candidate, cuda);
    if (version !== undefined && problem === undefined) return { source, directory, version };
    const why = `passed over ${source}: ${directory}: ${problem}`;
    if (source === 'LIBTORCH') log(why);
    else passed.push(why);
  }
  for (const why of passed) log(why);
  return undefined;
}

function problemOf({ directory, version, addons, reason }: Candidate, cuda: boolean): string | undefined {
  if (version === undefined) return reason;
  if (!isSupported(version)) return `its version ${version} is not one of 2.11 to 2.15`;
  if (addons.length === 0 && !existsSync(path.join(directory, 'include/ATen/ATen.h'))) {
    return `there is no addon for its version ${version}, and it has no headers to build one`;
  }
  if (cuda && !existsSync(libraryFile(directory, 'torch_cuda'))) return 'it is without CUDA';
  return undefined;
}

async function fill(options: SetupOptions, log: Log): Promise<Target> {
  const cache = cacheDirectory(process.env);
  const busy = (pid: number) => log(`waiting for process ${pid}, which is setting up too`);
  return withLock(path.join(cache, 'setup.lock'), busy, async () => {
    // Another process may have done the work while this one waited.
    const since = options.from.length > 0 ? undefined : usable(options.cuda, () => undefined);
    if (since !== undefined) return since;
    for (const name of readdirSync(cache)) {
      if (name.startsWith('.staging-')) rmSync(path.join(cache, name), { recursive: true, force: true });
    }
    const staging = mkdtempSync(path.join(cache, '.staging-'));
    try {
      return await stage(options, staging, cache, log);
    } finally {
      rmSync(staging, { recursive: true, force: true });
    }
  });
}

async function stage(options: SetupOptions, staging: string, cache: string, log: Log): Promise<Target> {
  const platform = `${process.platform}-${process.arch}`;
  const wanted = wheels.filter(({ name }) => options.cuda || name === 'torch' || cpuCompanions.includes(name));
  const here = platform.startsWith('linux') ? wanted : wanted.filter(({ name }) => name === 'torch');
  let files: string[];
  if (options.from.length > 0) files = options.from.flatMap(archivesIn);
  else {
    const unpinned = here.find((wheel) => wheel.sha256[platform] === undefined);
    if (unpinned !== undefined) throw new SetupError(`no digest of ${unpinned.name} is known for ${platform}. ${byHand(here)}`);
    log(`fetching libtorch ${pinnedVersion} (${here.length} wheels) by pip into ${cache}`);
    const downloads = path.join(staging, 'downloads');
    mkdirSync(downloads);
    files = await download(here, platform, downloads);
  }
  await checkDigests(files, here, platform, options.sha256, log);

  const content = path.join(staging, 'content');
  mkdirSync(content);
  for (const file of files) await unpackShown(file, content, placeFor(options.cuda), log);
  const directory = path.join(content, 'torch');
  const found = inspect(directory);
  if ('problem' in found) throw new SetupError(`what was unpacked is no libtorch: ${found.problem} (${files.join(', ')})`);
  if (!isSupported(found.version)) throw new SetupError(`libtorch ${found.version} is not supported; 2.11 to 2.15 are`);
  checkCompanions(content);

  const kind = existsSync(libraryFile(directory, 'torch_cuda')) ? 'cuda' : 'cpu';
  const home = path.join(cache, `torch-${found.version}-${kind}`);
  if (options.from.length > 0) rmSync(home, { recursive: true, force: true });
  try {
    renameSync(content, home);
  } catch (error) {
    // Whoever renamed first has put the same there.
    if ('problem' in inspect(path.join(home, 'torch'))) throw error;
  }
  log(`libtorch ${found.version} is in ${home}`);
  return { directory: path.join(home, 'torch'), version: found.version };
}

/** @internal The files that `--from` names. */
export function archivesIn(place: string): string[] {
  try {
    const stat = statSync(place, { throwIfNoEntry: false });
    if (stat === undefined) throw new FileError(place, 'no such file or folder');
    if (stat.isFile()) return [place];
    // A pipe or a device would never end.
    if (!stat.isDirectory())
      throw new FileError(place, 'expected a wheel or archive, or a folder of them, not a pipe or a device');
    const archives = readdirSync(place)
      .filter((name) => /\.(whl|zip)$/.test(name))
      .map((name) => path.join(place, name));
    if (archives.length === 0) throw new FileError(place, 'no .whl or .zip in this folder');
    const odd = archives.find((file) => !statSync(file).isFile());
    if (odd !== undefined) throw new FileError(odd, 'expected a regular file');
    return archives;
  } catch (error) {
    throw error instanceof FileError ? error : new FileError(place, `cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

async function checkDigests(
  files: readonly string[],
  wanted: readonly Wheel[],
  platform: string,
  extra: readonly string[],
  log: Log,
) {
  const accepted = new Set([
    ...wanted.flatMap((wheel) => wheel.sha256[platform] ?? []),
    ...extra.map((digest) => digest.toLowerCase()),
  ]);
  for (const file of files) {
    const digest = await sha256(file);
    if (!accepted.has(digest)) {
      throw new FileError(file, `its SHA-256 is ${digest}, which is none of the known ones; --sha256 accepts another`);
    }
  }
  log(`SHA-256 of ${files.length === 1 ? 'the file' : `all ${files.length} files`}: right`);
}

async function unpackShown(file: string, folder: string, place: Place, log: Log): Promise<void> {
  log(`unpacking ${path.basename(file)}`);
  const progress = new Progress('unpacking', 'MB');
  let begun = false;
  await unpack(file, folder, place, (done, all) => {
    if (!begun) progress.start(Math.ceil(all / 1e6));
    begun = true;
    progress.update(Math.ceil(done / 1e6));
  });
  progress.stop();
}

/**
 * What is kept of a wheel (laid out like site-packages, as the libraries' own search paths want it) or of the C++ archive, whose
 * `libtorch/` becomes `torch/`: libraries, headers, CMake files, version and licences; without CUDA neither its libraries nor Python's.
 */
function placeFor(cuda: boolean): Place {
  return (entry) => {
    const name = entry.replace(/^libtorch\//, 'torch/');
    if (/^torch\/(version\.py|build-version)$/.test(name)) return name;
    if (/^torch\/(include|share\/cmake)\//.test(name))
      return /^torch\/include\/(pybind11|kineto)\//.test(name) ? undefined : name;
    if (/^[^/]+\.dist-info\/(METADATA|.*licen[cs]e.*)$/i.test(name)) return name;
    const library = /^(?:torch|nvidia\/.*)\/lib\/([^/]+)$/.exec(name)?.[1];
    if (library === undefined) return cuda && /^nvidia\/.*\/include\//.test(name) ? name : undefined;
    if (library.endsWith('.a') || /^lib(torch_python|shm)\b/.test(library)) return undefined;
    if (cuda || entry !== name) return name;
    if (name.startsWith('nvidia/')) return /^lib(cudart|cupti)\.so/.test(library) ? name : undefined;
    return /cuda|nvshmem|nvrtc|^libtorch\.so/.test(library) ? undefined : name;
  };
}

// A wheel with CUDA says so in its metadata; its libtorch_cpu then does not load without these two.
function checkCompanions(content: string): void {
  const info = readdirSync(content).find((name) => /^torch-.*\.dist-info$/.test(name));
  const metadata = info === undefined ? '' : readFileSync(path.join(content, info, 'METADATA'), 'utf8');
  if (!/^Requires-Dist: (nvidia-|cuda-)/m.test(metadata) || process.platform !== 'linux') return;
  const files = existsSync(path.join(content, 'nvidia'))
    ? readdirSync(path.join(content, 'nvidia'), { recursive: true }).map(String)
    : [];
  for (const [library, wheel] of [
    ['libcudart.so', 'nvidia-cuda-runtime'],
    ['libcupti.so', 'nvidia-cuda-cupti'],
  ] as const) {
    if (files.some((file) => path.basename(file).startsWith(library))) continue;
    const need = wheels.find(({ name }) => name === wheel);
    throw new SetupError(`this wheel of torch needs ${library}: give the wheel of ${wheel} (${need?.version}) with --from, too`);
  }
}

// In a process of its own: whatever loading does, setup can still report it. Returns what went wrong.
function trial(target: Target, log: Log): string | undefined {
  const loader = JSON.stringify(new URL('../native/load.js', import.meta.url).href);
  const script = `const { addon, libtorch } = await import(${loader}); console.log(libtorch.version, libtorch.directory, addon.cpuCapability())`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  if (status !== 0) return stderr.trim();
  const [version, directory, capability] = stdout.trim().split(' ');
  log(`ready: libtorch ${version} of ${directory} loads, CPU kernels: ${capability}`);
  if (directory !== target.directory) log(`note: it comes before ${target.directory} in the order of resolution`);
  return undefined;
}
