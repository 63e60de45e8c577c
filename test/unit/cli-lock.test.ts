import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { packageRoot } from '../../src/native/locate.ts';
import { discard, holderOf, withLock } from '../../src/native/lock.ts';

const room = mkdtempSync(path.join(tmpdir(), 'blip2-lock-'));
afterAll(() => rmSync(room, { recursive: true, force: true }));

let count = 0;
function lockFile(): string {
  return path.join(room, `${++count}`, 'setup.lock');
}

const noWait = () => {
  throw new Error('nobody is to be waited for');
};
const gone = 999_999_999;

async function left(file: string, content: string): Promise<void> {
  await withLock(file, noWait, async () => {});
  writeFileSync(file, content);
}

const idOf = (file: string) => holderOf(file)?.id ?? '';

test('the lock is there during the work only, whether it ends well or not', async () => {
  const file = lockFile();
  const result = await withLock(file, noWait, async () => {
    expect(holderOf(file)?.pid).toBe(process.pid);
    return 7;
  });
  expect(result).toBe(7);
  await expect(withLock(file, noWait, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  expect(readdirSync(path.dirname(file))).toEqual([]);
});

test('who saw a stale lock does not remove the fresh one that another put in its place', async () => {
  const file = lockFile();
  await left(file, `${gone} stale`);
  const seen = idOf(file);
  await withLock(file, noWait, async () => {
    const fresh = readFileSync(file, 'utf8');
    expect(discard(file, seen)).toBe(true);
    expect(readFileSync(file, 'utf8')).toBe(fresh);
  });
  expect(readdirSync(path.dirname(file))).toEqual([]);
});

test('a lock that another process took over is left to it', async () => {
  const file = lockFile();
  await withLock(file, noWait, async () => {
    rmSync(file);
    writeFileSync(file, `${process.ppid} another`);
  });
  expect(readFileSync(file, 'utf8')).toBe(`${process.ppid} another`);
});

test('the heartbeat touches the own lock, and bears that the file goes away', async () => {
  const file = lockFile();
  await withLock(file, noWait, async () => {
    utimesSync(file, new Date(0), new Date(0));
    await sleep(1_200);
    expect(Date.now() - statSync(file).mtimeMs).toBeLessThan(2_000);
    rmSync(path.dirname(file), { recursive: true });
    await sleep(1_200);
  });
  expect(existsSync(file)).toBe(false);
});

test('a lock whose live process has long been silent is taken over', async () => {
  const file = lockFile();
  await left(file, `${process.ppid} silent`);
  utimesSync(file, new Date(0), new Date(0));
  expect(await withLock(file, noWait, async () => holderOf(file)?.pid)).toBe(process.pid);
});

test('a process that died while it removed a stale lock holds nobody up', async () => {
  const file = lockFile();
  await left(file, `${gone} stale`);
  writeFileSync(`${file}.${idOf(file)}.guard`, `${gone} dead`);
  expect(await withLock(file, noWait, async () => 'done')).toBe('done');
  expect(readdirSync(path.dirname(file))).toEqual([]);
});

test('a guard whose number a live process has by now holds nobody up either', async () => {
  const file = lockFile();
  await left(file, `${gone} stale`);
  const guard = `${file}.${idOf(file)}.guard`;
  writeFileSync(guard, `${process.ppid} dead, and another lives`);
  utimesSync(guard, new Date(0), new Date(0));
  expect(await withLock(file, noWait, async () => 'done')).toBe('done');
  expect(readdirSync(path.dirname(file))).toEqual([]);
});

test('a lock from the future is taken over', async () => {
  const file = lockFile();
  await left(file, `${process.ppid} early`);
  const tomorrow = new Date(Date.now() + 86_400_000);
  utimesSync(file, tomorrow, tomorrow);
  expect(await withLock(file, noWait, async () => 'done')).toBe('done');
});

test.each(['', 'no number', '0', '-1', '1e400', '\0'.repeat(1000)])(
  'a lock that says %j holds nobody up for long',
  async (content) => {
    const file = lockFile();
    await left(file, content);
    utimesSync(file, new Date(0), new Date(0));
    expect(await withLock(file, noWait, async () => 'done')).toBe('done');
  },
);

test('who waits for a live process says so once, and goes on when it is done', async () => {
  const file = lockFile();
  let done: () => void = () => {};
  const first = withLock(file, noWait, () => new Promise<void>((resolve) => (done = resolve)));
  await sleep(20);
  const told: number[] = [];
  const cpu = process.cpuUsage();
  const second = withLock(
    file,
    (pid) => told.push(pid),
    async () => 'second',
  );
  await sleep(1_000);
  const { user, system } = process.cpuUsage(cpu);
  expect(told).toEqual([process.pid]);
  expect((user + system) / 1e6).toBeLessThan(0.2); // it sleeps meanwhile
  done();
  await first;
  expect(await second).toBe('second');
});

test.each<[string, (file: string) => unknown]>([
  ['a link to nowhere', (file) => symlinkSync('/nowhere', file)],
  ['a folder', (file) => mkdirSync(file)],
  ['a pipe', (file) => execFileSync('mkfifo', [file])],
])('%s in the place of the lock is a typed error', async (_what, make) => {
  const file = lockFile();
  mkdirSync(path.dirname(file), { recursive: true });
  make(file);
  await expect(withLock(file, noWait, async () => {})).rejects.toThrow(
    expect.objectContaining({ name: 'FileError', message: expect.stringContaining('expected a regular file') }),
  );
});

test('where no lock can be made, the error names it', async () => {
  const file = path.join(lockFile(), 'x');
  const folder = path.dirname(file);
  mkdirSync(path.dirname(folder), { recursive: true });
  writeFileSync(folder, '');
  await expect(withLock(file, noWait, async () => {})).rejects.toThrow(/cannot be taken as a lock/);
});

test('of many processes, some of which die under the lock, never are two at work', async () => {
  const file = lockFile();
  await left(file, `${gone} stale`);
  const inside = path.join(path.dirname(file), 'inside');
  // Ends with status 0 in mid-work the third time, which leaves a stale lock for all the others to fall upon.
  const script = `
    import { closeSync, openSync, rmSync } from 'node:fs';
    import { setTimeout as sleep } from 'node:timers/promises';
    import { withLock } from ${JSON.stringify(path.join(packageRoot, 'dist/native/lock.js'))};
    for (let round = 1; ; round++) {
      await withLock(${JSON.stringify(file)}, () => {}, async () => {
        closeSync(openSync(${JSON.stringify(inside)}, 'wx'));
        await sleep(5);
        rmSync(${JSON.stringify(inside)});
        if (round === 3) process.exit(0);
      });
    }`;
  const ends = Array.from({ length: 8 }, () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (chunk) => (errors += chunk));
    return new Promise((resolve) => child.on('close', (status) => resolve({ status, errors })));
  });
  expect(await Promise.all(ends)).toEqual(ends.map(() => ({ status: 0, errors: '' })));
}, 60_000);
