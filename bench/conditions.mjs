// Under what a row is measured: the machine, the state of the sources, and what else the machine does meanwhile.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** Processor, its relevant instructions, cores and memory. */
export function machine() {
  const cpus = os.cpus();
  const flags = existsSync('/proc/cpuinfo') ? (/^flags.*$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[0] ?? '') : '';
  const known = ['avx2', 'avx512f', 'avx512_bf16', 'amx_bf16'].filter((flag) => flags.includes(` ${flag}`));
  const features = known.length > 0 ? ` (${known.join(', ')})` : '';
  return `${cpus[0]?.model.trim() ?? process.arch}${features}, ${cpus.length} cores, ${Math.round(os.totalmem() / 2 ** 30)} GiB`;
}

/** The commit that is checked out, with a + where tracked files were changed since (but for the results themselves); null outside of git. */
export function commit(root, results) {
  const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    const others = results.map((file) => `:!${file}`);
    const changed = git('status', '--porcelain', '--untracked-files=no', '--', '.', ...others) !== '';
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? '+' : ''}`;
  } catch {
    return null;
  }
}

/** Processor seconds of the whole machine so far, with what a hypervisor took; and those of this process and of its children that have ended. */
function worked() {
  if (!existsSync('/proc/self/stat')) {
    const times = os.cpus().flatMap(({ times: { user, nice, sys, irq } }) => [user, nice, sys, irq]);
    const { user, system } = process.cpuUsage();
    return { all: times.reduce((sum, ms) => sum + ms, 0) / 1e3, own: (user + system) / 1e6 };
  }
  const ticks = 100; // a second, of every Linux that Node runs on
  const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]
    .match(/\d+/g)
    .map(Number);
  const own = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
    .slice(11, 15)
    .map(Number);
  const sum = (values) => values.reduce((total, value) => total + value, 0) / ticks;
  return { all: sum([user, nice, system, irq, softirq, steal]), own: sum(own) };
}

/**
 * Does a work whose child processes have all ended when it is done, and says how many cores other programs kept busy meanwhile: in the second
 * before, and during it (null where the system does not tell what ended children took).
 */
export async function besideOthers(work) {
  const others = (from, to, seconds) =>
    Math.max(0, Math.round((100 * (to.all - from.all - (to.own - from.own))) / seconds) / 100);
  const clock = () => performance.now() / 1e3;
  const [early, earlier] = [worked(), clock()];
  await sleep(1000);
  const [start, started] = [worked(), clock()];
  const value = await work();
  const [end, ended] = [worked(), clock()];
  const during = process.platform === 'linux' ? others(start, end, ended - started) : null;
  return { value, load: { before: others(early, start, started - earlier), during } };
}
