import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const heartbeat = 1_000;
const staleAfter = 15_000;

/**
 * Runs `work` while no other process runs under the same lock file. The holder touches the file every second; a lock that has not been
 * touched for 15 s, or whose process is gone, is taken over. `onWait` is told once when another process has to be waited for.
 */
export async function withLock<T>(file: string, onWait: (pid: number) => void, work: () => Promise<T>): Promise<T> {
  mkdirSync(path.dirname(file), { recursive: true });
  for (let told = false; !take(file); ) {
    const holder = holderOf(file);
    if (holder === undefined) {
      discard(file);
      continue;
    }
    if (!told) onWait(holder);
    told = true;
    await sleep(200);
  }
  const beat = setInterval(() => utimesSync(file, new Date(), new Date()), heartbeat);
  try {
    return await work();
  } finally {
    clearInterval(beat);
    rmSync(file, { force: true });
  }
}

// A link appears with its content, so nobody can read a lock that does not yet name its holder.
function take(file: string): boolean {
  const own = `${file}.${process.pid}`;
  writeFileSync(own, String(process.pid));
  try {
    linkSync(own, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(own, { force: true });
  }
}

// Renaming away is won by one process only; the others find the file gone.
function discard(file: string): void {
  const away = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, away);
  } catch {
    return;
  }
  rmSync(away, { force: true });
}

function holderOf(file: string): number | undefined {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    const silent = Date.now() - statSync(file).mtimeMs > staleAfter;
    return silent || !isAlive(pid) ? undefined : pid;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
