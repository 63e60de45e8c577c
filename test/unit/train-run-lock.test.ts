import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { RunHeldError, setThreads } from '../../src/index.ts';
import { packageRoot } from '../../src/native/locate.ts';
import { checkRunFree, holdRun } from '../../src/train/run-lock.ts';
import { toy } from '../support/toy-run.ts';

setThreads(1);
const room = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-run-lock-'));
const children: ChildProcess[] = [];
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  fs.rmSync(room, { recursive: true, force: true });
});

let count = 0;
function newFolder(): string {
  const folder = path.join(room, String(++count));
  fs.mkdirSync(folder);
  return folder;
}
const left = (folder: string, content: string): void => fs.writeFileSync(path.join(folder, 'run.lock'), content);
const content = (folder: string): unknown => JSON.parse(fs.readFileSync(path.join(folder, 'run.lock'), 'utf8'));
const lockOf = (pid: number, more: object = {}): string => JSON.stringify({ pid, host: os.hostname(), started: null, ...more });
const linux = process.platform === 'linux';

/** A process that holds a folder until it is killed, or says why it cannot. */
async function holder(folder: string, ...flags: string[]): Promise<{ child: ChildProcess; said: string }> {
  const module = path.join(packageRoot, 'dist/train/run-lock.js');
  const script = `
    const { holdRun } = await import(${JSON.stringify(module)});
    await holdRun(${JSON.stringify(folder)}, true).then(() => console.log('held'), (e) => console.log(JSON.stringify({ ...e, text: e.message })));
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const [said] = await once(child.stdout as NodeJS.ReadableStream, 'data');
  return { child, said: String(said).trim() };
}

async function killed(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

test('a folder is held from the first to the last use, and nothing is left of it', async () => {
  const folder = path.join(newFolder(), 'new');
  const opened = await holdRun(folder, false);
  expect(content(folder)).toMatchObject({ pid: process.pid, host: os.hostname() });
  const ran = await holdRun(`${folder}/../new`, true);
  await expect(holdRun(folder, true)).rejects.toThrow(RunHeldError); // another run of the same process
  checkRunFree(folder); // which is about what other processes do
  ran();
  ran();
  expect(fs.readdirSync(folder)).toEqual(['run.lock']);
  opened();
  expect(fs.readdirSync(folder)).toEqual([]);
});

test('another process is refused, and can have the folder as soon as the first is killed', async () => {
  const folder = newFolder();
  const first = await holder(folder);
  expect(first.said).toBe('held');
  const before = fs.readFileSync(path.join(folder, 'run.lock'), 'utf8');
  const error = await holdRun(folder, true).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(RunHeldError);
  expect(error).toMatchObject({ code: 'ERR_RUN_HELD', folder, pid: first.child.pid, host: os.hostname() });
  expect(String(error)).toContain(`${folder}: process ${first.child.pid} on ${os.hostname()} trains in it; end it first`);
  expect(() => checkRunFree(folder)).toThrow(RunHeldError);
  expect(fs.readdirSync(folder)).toEqual(['run.lock']);
  expect(fs.readFileSync(path.join(folder, 'run.lock'), 'utf8')).toBe(before);
  await killed(first.child);
  checkRunFree(folder);
  const release = await holdRun(folder, true);
  expect((await holder(folder)).said).toContain(`"pid":${process.pid}`);
  release();
  expect(fs.readdirSync(folder)).toEqual([]);
});

test('a trainer is refused before it touches checkpoints and logs', async () => {
  const folder = newFolder();
  const { child } = await holder(folder);
  const { trainer, notes } = toy(folder);
  await expect(trainer.run()).rejects.toThrow(RunHeldError);
  expect([notes.opened, fs.readdirSync(folder)]).toEqual([[], ['run.lock']]);
  await killed(child);
  expect((await toy(folder, { steps: 2 }).trainer.run()).step).toBe(2);
  expect(fs.readdirSync(folder)).toEqual(['checkpoints']);
});

test('a process that has the number of one that is gone does not hold its folder', async () => {
  if (!linux) return;
  const folder = newFolder();
  left(folder, lockOf(process.pid, { started: 'a-boot 17' }));
  (await holdRun(folder, true))();
  expect(fs.readdirSync(folder)).toEqual([]);
});

test('nor does one that was killed and that nobody waits for', async () => {
  if (!linux) return;
  const folder = newFolder();
  const parent = spawn('sh', ['-c', 'sleep 1000 & echo $!; exec sleep 1000'], { stdio: ['ignore', 'pipe', 'ignore'] });
  children.push(parent);
  const pid = Number((await once(parent.stdout as NodeJS.ReadableStream, 'data'))[0]);
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  left(folder, lockOf(pid, { started: `${boot} ${stat[19]}` }));
  await expect(holdRun(folder, true)).rejects.toThrow(RunHeldError);
  process.kill(pid, 'SIGKILL');
  // Some systems let go of its number all the same.
  const state = (): string => (fs.existsSync(`/proc/${pid}`) ? fs.readFileSync(`/proc/${pid}/stat`, 'utf8') : ') Z ');
  while (!state().includes(') Z ')) await new Promise(setImmediate);
  (await holdRun(folder, true))();
});

test("whether another machine's process is gone is for people to say", async () => {
  const folder = newFolder();
  left(folder, lockOf(999_999_999, { host: 'elsewhere' }));
  const remedy = `elsewhere trains in it. Whether it still runs cannot be seen from ${os.hostname()}: if it is gone, remove ${folder}/run.lock`;
  await expect(holdRun(folder, true)).rejects.toThrow(remedy);
  expect(() => checkRunFree(folder)).toThrow(remedy);
  fs.rmSync(path.join(folder, 'run.lock'));
  (await holdRun(folder, true))();
});

test.each(['', '{', '[]', '{"pid":1}'])('a file that says nothing (%j) is taken over', async (nothing) => {
  const folder = newFolder();
  left(folder, nothing);
  (await holdRun(folder, true))();
  expect(fs.readdirSync(folder)).toEqual([]);
});

test('without links in the file system all of this holds, too', async () => {
  const folder = newFolder();
  const noLinks = `data:text/javascript,import fs from 'node:fs'; import { syncBuiltinESMExports } from 'node:module';
    fs.linkSync = () => { throw Object.assign(new Error('no links'), { code: 'EPERM' }); }; syncBuiltinESMExports();`;
  const flags = ['--import', noLinks.replaceAll('\n', '')];
  left(folder, lockOf(999_999_999));
  const first = await holder(folder, ...flags);
  expect(first.said).toBe('held');
  const second = await holder(folder, ...flags);
  expect(second.said).toContain(`"pid":${first.child.pid}`);
  expect(fs.readdirSync(folder)).toEqual(['run.lock']);
});
