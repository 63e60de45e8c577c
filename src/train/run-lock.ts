import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { aPath, checkArgument } from '../native/arguments.ts';
import { transferable } from '../native/error-transfer.ts';
import { Blip2Error, FileError } from '../native/errors.ts';
import { makeFolder, reasonOf } from '../native/files.ts';
import { discard, holderOf, take } from '../native/lock.ts';
import { isAlive } from '../native/processes.ts';

/** A run's folder belongs to a process that trains in it, so that no other may. Nothing in it was changed. */
export class RunHeldError extends Blip2Error {
  override readonly name: string = 'RunHeldError';
  /** The run's folder. */
  readonly folder: string;
  /** The number of the process that holds it. */
  readonly pid: number;
  /** The machine that this process runs on, by its host name. */
  readonly host: string;

  constructor(folder: string, pid: number, host: string) {
    checkArgument('folder', folder, aPath);
    const lock = path.join(folder, FILE);
    const elsewhere = host !== os.hostname();
    const remedy = elsewhere
      ? `. Whether it still runs cannot be seen from ${os.hostname()}: if it is gone, remove ${lock}`
      : '; end it first, or take another folder';
    super('ERR_RUN_HELD', `${folder}: process ${pid} on ${host} trains in it${remedy}`);
    this.folder = folder;
    this.pid = pid;
    this.host = host;
  }
}

transferable(RunHeldError);

const FILE = 'run.lock';

/** What the file says. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process began, as its system tells; null where that does not. Another process may have its number later. */
  readonly started: string | null;
}

/** The folders that this process holds, by their true paths. */
const held = new Map<string, { count: number; running: boolean }>();

process.once('exit', () => {
  for (const folder of held.keys()) fs.rmSync(path.join(folder, FILE), { force: true });
});

/**
 * Takes a run's folder for this process: `run.lock` in it says so to others. What a process left that is gone is taken over at once. The process
 * that has it may take it several times, such as to set a run up and then to run it; but only one at a time runs.
 *
 * @param running whether for a run, beside which there is no other use
 * @returns lets go of it
 * @throws RunHeldError where another holds it; FileError where it cannot be written
 */
export async function holdRun(directory: string, running: boolean): Promise<() => void> {
  const folder = attempt(directory, () => {
    makeFolder(directory);
    return fs.realpathSync(directory);
  });
  let own = held.get(folder);
  if (own?.running) throw new RunHeldError(directory, process.pid, os.hostname());
  if (own === undefined) {
    await acquire(directory, path.join(folder, FILE));
    own = { count: 0, running: false };
    held.set(folder, own);
  }
  const use = own;
  use.count += 1;
  use.running = running;
  let done = false;
  return () => {
    if (done) return;
    done = true;
    use.count -= 1;
    if (running) use.running = false;
    if (use.count > 0) return;
    held.delete(folder);
    fs.rmSync(path.join(folder, FILE), { force: true });
  };
}

/** @throws RunHeldError where another process holds a run's folder: known before anything is loaded */
export function checkRunFree(directory: string): void {
  const file = path.join(directory, FILE);
  const seen = attempt(directory, () => holderOf(file));
  const holder = seen && parse(seen.content);
  if (holder === undefined || held.has(fs.realpathSync(directory))) return;
  if (!isGone(holder)) throw new RunHeldError(directory, holder.pid, holder.host);
}

async function acquire(directory: string, file: string): Promise<void> {
  const self: Holder = { pid: process.pid, host: os.hostname(), started: startOf(process.pid) };
  for (let unread = 0; ; ) {
    const own = attempt(directory, () => take(file, JSON.stringify(self)));
    if (own !== undefined) {
      fs.closeSync(own.descriptor);
      return;
    }
    const seen = attempt(directory, () => holderOf(file));
    const holder = seen && parse(seen.content);
    if (holder !== undefined && !isGone(holder)) throw new RunHeldError(directory, holder.pid, holder.host);
    // Where there are no links, a file can be seen before it is written; one that stays empty is of a process that died in between.
    if (seen !== undefined && (holder !== undefined || ++unread > 100)) attempt(directory, () => discard(file, seen.id));
    await sleep(10);
  }
}

function parse(content: string): Holder | undefined {
  try {
    const { pid, host, started } = JSON.parse(content) as Record<string, unknown>;
    if (!Number.isSafeInteger(pid) || typeof host !== 'string') return undefined;
    return { pid: pid as number, host, started: typeof started === 'string' ? started : null };
  } catch {
    return undefined;
  }
}

function isGone({ pid, host, started }: Holder): boolean {
  if (host !== os.hostname()) return false;
  if (!isAlive(pid)) return true;
  const now = startOf(pid);
  return started !== null && now !== null && now !== started;
}

/**
 * When a process began, in ticks of this boot of the system; null where the system does not tell. One that was killed and that its parent has not
 * noticed yet began never.
 */
function startOf(pid: number): string | null {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return 'ended';
    return `${fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${fields[19]}`;
  } catch {
    return null;
  }
}

function attempt<T>(directory: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw new FileError(directory, `cannot be written: ${reasonOf(error)}`, { cause: error });
  }
}
