import { createHash, randomUUID } from 'node:crypto';
import { closeSync, futimesSync, linkSync, lstatSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileError } from './errors.ts';
import { makeFolder, reasonOf } from './files.ts';
import { isAlive } from './processes.ts';

const heartbeat = 1_000;
const staleAfter = 15_000;

/** What a lock file says; `id` is another one each time that a lock is taken. */
interface Holder {
  readonly pid: number;
  readonly id: string;
  readonly content: string;
}

/**
 * Runs `work` while no other process runs under the same lock file. The holder touches the file every second; a lock that has not been
 * touched for 15 s, or whose process is gone, is taken over. `onWait` is told once when another process has to be waited for; the signal ends the wait.
 */
export async function withLock<T>(
  file: string,
  onWait: (pid: number) => void,
  work: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const own = await acquire(file, onWait, signal).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw error instanceof FileError
      ? error
      : new FileError(file, `cannot be taken as a lock: ${reasonOf(error)}`, { cause: error });
  });
  // Through the descriptor it is always the own lock that is touched, even after another process has taken the file over.
  const beat = setInterval(() => futimesSync(own.descriptor, new Date(), new Date()), heartbeat);
  try {
    return await work();
  } finally {
    clearInterval(beat);
    closeSync(own.descriptor);
    while (holderOf(file)?.id === own.id && !discard(file, own.id)) await sleep(10);
  }
}

async function acquire(
  file: string,
  onWait: (pid: number) => void,
  signal: AbortSignal | undefined,
): Promise<{ id: string; descriptor: number }> {
  makeFolder(path.dirname(file));
  for (let told = false; ; ) {
    signal?.throwIfAborted();
    const own = take(file);
    if (own !== undefined) return own;
    const holder = holderOf(file);
    if (holder === undefined) {
      await sleep(10);
      continue;
    }
    if (isStale(file, holder)) {
      if (!discard(file, holder.id)) await sleep(10);
      continue;
    }
    if (!told) onWait(holder.pid);
    told = true;
    await sleep(200);
  }
}

/** Makes a lock file that says `content`; undefined where there is one already. The descriptor is the caller's to close. */
export function take(file: string, content = `${process.pid} ${randomUUID()}`): { id: string; descriptor: number } | undefined {
  const id = idOf(content);
  const draft = `${file}.${randomUUID()}`;
  const descriptor = openSync(draft, 'wx');
  try {
    writeSync(descriptor, content);
    // A link appears with its content, so nobody can read a lock that does not yet name its holder.
    linkSync(draft, file);
    return { id, descriptor };
  } catch (error) {
    closeSync(descriptor);
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return undefined;
    if (NO_LINKS.has(code)) return takeWithoutLink(file, content, id);
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** What file systems without links say. */
const NO_LINKS = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP']);

function takeWithoutLink(file: string, content: string, id: string): { id: string; descriptor: number } | undefined {
  try {
    const descriptor = openSync(file, 'wx');
    writeSync(descriptor, content);
    return { id, descriptor };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw error;
  }
}

/**
 * Removes the lock `id`, and no other that has come in its place: only the holder of a guard named after the lock may remove it, so between
 * its look at the file and the removal nobody else can. Returns false where another process is at it.
 */
export function discard(file: string, id: string): boolean {
  const guard = `${file}.${id}.guard`;
  const taken = take(guard);
  if (taken === undefined) {
    // A guard is held for no longer than a few system calls: it is old only where its process died in them, whoever has its number now.
    const other = holderOf(guard);
    if (other !== undefined && isStale(guard, other)) discard(guard, other.id);
    return false;
  }
  try {
    if (holderOf(file)?.id === id) rmSync(file, { force: true });
    return true;
  } finally {
    closeSync(taken.descriptor);
    rmSync(guard, { force: true });
  }
}

/** Who holds the lock, undefined where it is free. */
export function holderOf(file: string): Holder | undefined {
  try {
    // A pipe in the lock's place would be waited for without end, and a link to nowhere be asked again and again.
    const stat = lstatSync(file);
    if (!stat.isFile()) throw new FileError(file, 'is no lock: expected a regular file');
    const content = readFileSync(file, 'utf8');
    return { pid: Number(content.split(' ')[0]), id: idOf(content), content };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

// A hash is a file name whatever was in the file.
function idOf(content: string): string {
  return createHash('sha256').update(content).digest('hex').slice(0, 32);
}

function isStale(file: string, { pid }: Holder): boolean {
  const touched = statSync(file, { throwIfNoEntry: false })?.mtimeMs;
  return touched === undefined || Math.abs(Date.now() - touched) > staleAfter || !isAlive(pid);
}
