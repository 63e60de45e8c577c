import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, realpathSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, totalmem } from 'node:os';
import path from 'node:path';
import { SetupError } from '../native/errors.ts';
import { addonName, buildDirectory, packageRoot } from '../native/locate.ts';
import { withLock } from '../native/lock.ts';
import { lastLines, runChild } from './child.ts';
import { Progress } from './progress.ts';

const require = createRequire(import.meta.url);

/** The libtorch to build against. */
export interface Target {
  readonly directory: string;
  readonly version: string;
}

/** Says what goes on, a line at a time. */
export type Log = (line: string) => void;

/** A digest of everything that goes into the addon; equal digests make equal addons. */
export function sourceDigest(version: string, root: string = packageRoot): string {
  const hash = createHash('sha256')
    .update(version)
    .update(readFileSync(path.join(root, 'binding.gyp')));
  for (const name of readdirSync(path.join(root, 'native')).sort()) {
    const file = path.join(root, 'native', name);
    if (/\.(cc|h|txt|mjs)$/.test(name)) hash.update(name).update(readFileSync(file));
  }
  return hash.digest('hex');
}

/** Builds the addon for a libtorch by node-gyp, unless that very build is there already; returns whether it had to. */
export async function buildAddon(target: Target, log: Log, root: string = packageRoot): Promise<boolean> {
  const file = path.join(buildDirectory(root), addonName(target.version));
  if (isCurrent(file, target.version, root)) return false;
  const busy = (pid: number) => log(`waiting for process ${pid}, which is building too`);
  return withLock(path.join(root, 'build', 'lock'), busy, async () => {
    if (isCurrent(file, target.version, root)) return false;
    log(`building the addon for libtorch ${target.version} (${target.directory})`);
    await nodeGyp(target, root);
    makeStamp(file, target.version, root);
    return true;
  });
}

/** What a build left beside the addon. */
export interface Stamp {
  readonly digest: string;
  readonly node: string;
  readonly built: string;
}

/** Reads the stamp of an addon; undefined where there is none. */
export function readStamp(addon: string): Stamp | undefined {
  try {
    return JSON.parse(readFileSync(stampFile(addon), 'utf8')) as Stamp;
  } catch {
    return undefined;
  }
}

/** Leaves a stamp beside an addon that was built just now. */
export function makeStamp(addon: string, version: string, root: string = packageRoot): void {
  const stamp: Stamp = { digest: sourceDigest(version, root), node: process.version, built: new Date().toISOString() };
  const file = stampFile(addon);
  writeFileSync(`${file}.new`, `${JSON.stringify(stamp)}\n`);
  renameSync(`${file}.new`, file);
}

/** Whether an addon is there and was built from the sources as they are. */
export function isCurrent(addon: string, version: string, root: string = packageRoot): boolean {
  return existsSync(addon) && readStamp(addon)?.digest === sourceDigest(version, root);
}

function stampFile(addon: string): string {
  return `${addon.slice(0, -'.node'.length)}.json`;
}

/** How many compilers to run at once: each takes up to about 1.5 GB. */
export function jobs(): number {
  const wanted = Number(process.env.JOBS);
  if (Number.isInteger(wanted) && wanted > 0) return wanted;
  return Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / 1.5e9)));
}

/** Where this node's own headers lie, so that none have to be fetched. */
export function nodeDirectory(): string | undefined {
  const prefix = path.dirname(path.dirname(realpathSync(process.execPath)));
  return existsSync(path.join(prefix, 'include/node/node_api.h')) ? prefix : undefined;
}

async function nodeGyp(target: Target, root: string): Promise<void> {
  const nodedir = nodeDirectory();
  const args = [
    require.resolve('node-gyp/bin/node-gyp.js'),
    ...['configure', 'build', '--directory', root, '--jobs', String(jobs())],
    ...(nodedir === undefined ? [] : ['--nodedir', nodedir]),
  ];
  const sources = readFileSync(path.join(root, 'native/sources.txt'), 'utf8').trim().split('\n').length + 1;
  const progress = new Progress('compiling', 'files');
  progress.start(sources);
  let compiled = -1;
  const env = { ...process.env, LIBTORCH: target.directory };
  const { status, output } = await runChild(process.execPath, args, { cwd: root, env }, (last) => {
    // Make names a file when it begins it.
    compiled += last.match(/^ {2}CXX\(/gm)?.length ?? 0;
    if (compiled > 0) progress.update(Math.min(compiled, sources));
  });
  if (status === 0) progress.update(sources);
  progress.stop();
  if (status === 0) return;
  throw new SetupError(
    `${lastLines(output, 60)}\nThe addon could not be built (node-gyp: ${status}; its last words are above). It needs Python 3, make and a C++20 compiler` +
      ' (g++ 11 or clang 14, or newer).',
  );
}
