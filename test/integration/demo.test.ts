import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import sharp from 'sharp';

const root = path.resolve(import.meta.dirname, '../..');
const env = { ...process.env, OMP_NUM_THREADS: '1' };
const tiny = ['--steps', '12', '--stage2-steps', '6', '--concepts', '3', '--pictures', '8', '--batch-size', '8'];
let out: string;

/** Runs a compiled program of examples/ as `npm run demo` does. */
function run(program: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [`build/examples/${program}/main.js`, ...args], { cwd: root, env, encoding: 'utf8' });
}

beforeAll(() => {
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.examples.json'], { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(stdout);
  out = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-demo-'));
});
afterAll(() => fs.rmSync(out, { recursive: true }));

test('an ablation without the first stage starts from random weights, and is not run twice', () => {
  const args = [...tiny, '--ablation', 'no-stage-1', '--seeds', '1', '--out', out];
  const { status, stdout } = run('demo', ...args);
  expect(status).toBe(0);
  expect(fs.readdirSync(path.join(out, 'ablation/the-second-stage-alone-0'))).toEqual(['run.json', 'stage2']);
  const figures = /unseen style, the second stage alone {2}[\d.]+ \([\d.]+–[\d.]+\) .*/;
  expect(stdout).toMatch(figures);
  const again = run('demo', ...args).stdout;
  expect(again.match(/as it was run before/g)).toHaveLength(2);
  expect(again).toContain(figures.exec(stdout)?.[0]);
});

test('a short demo trains both stages and reports, with the ablation that was run before; then it captions a picture, and answers, with what it saved', async () => {
  const { status, stdout, stderr } = run('demo', ...tiny, '--out', out);
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.not.stringContaining('Error') });
  for (const kind of ['new combinations', 'unseen style']) {
    expect(stdout).toMatch(
      new RegExp(`${kind}, 8 scenes, R@1 .*: by contrast [\\d.]+ % / [\\d.]+ %, re-ranked by matching [\\d.]+ %`),
    );
    expect(stdout).toMatch(new RegExp(`${kind}, the first stage's own captions: exact [\\d.]+ %`));
  }
  expect(stdout).toMatch(
    /unseen style: captions [\d.]+ % exact, CIDEr [\d.]+; answers [\d.]+ % right \(what [\d.]+, .*\), blind [\d.]+ %/,
  );
  expect(stderr).toMatch(/12\/12 \| loss [\d.]+ itc [\d.]+ itm [\d.]+ itg [\d.]+/);
  expect(stderr).toMatch(/6\/6 \| loss [\d.]+ lm [\d.]+/);
  expect((await sharp(path.join(out, 'report.png')).metadata()).format).toBe('png');
  const page = fs.readFileSync(path.join(out, 'report.html'), 'utf8');
  for (const text of [
    '12 steps of 8 pairs',
    '6 steps of 8 pictures',
    'Zero-shot questions',
    'Conversations',
    'Ablation: Both stages',
  ])
    expect(page).toContain(text);
  const ablation = ['ablation', ...['html', 'json', 'png'].map((type) => `ablation-no-stage-1.${type}`)];
  expect(fs.readdirSync(out).sort()).toEqual([...ablation, 'report.html', 'report.png', 'stage1', 'stage2-opt']);

  const picture = path.join(out, 'mine.png');
  await sharp({ create: { width: 100, height: 80, channels: 3, background: { r: 60, g: 110, b: 200 } } })
    .png()
    .toFile(picture);
  const captioned = run('demo', '--out', out, '--image', picture);
  expect(captioned).toMatchObject({ status: 0, stdout: expect.stringMatching(/^.*mine\.png: .+\n$/) });
  const asked = run('demo', '--out', out, '--image', picture, '--ask', 'what colour is the background?');
  expect(asked).toMatchObject({ status: 0, stdout: expect.stringMatching(/^.*mine\.png: .*\n$/) });
  const noPicture = run('demo', '--out', out, '--image', path.join(out, 'report.html'));
  expect(noPicture).toMatchObject({ status: 1, stderr: expect.stringContaining('report.html') });
  expect(noPicture.stderr).not.toMatch(/^ {4}at /m);
});

test('an ablation trains with and without for every seed, and says what it sees', () => {
  const folder = path.join(out, 'ablated');
  const args = [...tiny, '--llm', 't5', '--ablation', 'no-itg', '--seeds', '1', '--out', folder];
  const { status, stdout } = run('demo', ...args);
  expect(status).toBe(0);
  expect(fs.readdirSync(path.join(folder, 'ablation')).sort()).toEqual(['both-stages-0', 'without-ITG-0']);
  expect(stdout).toMatch(/new combinations, without ITG {2}[\d.]+ \([\d.]+–[\d.]+\)/);
  const page = fs.readFileSync(path.join(folder, 'ablation-no-itg.html'), 'utf8');
  for (const text of ['unseen style, both stages', 'exact captions, new combinations', 'ITM loss of the first stage'])
    expect(page).toContain(text);
});

test.each(['opt', 't5'])('a language model that learns for a moment is a folder with its figures (%s)', (kind) => {
  const folder = path.join(out, 'language');
  const { status } = run('encoders', kind, '--steps', '4', '--runs', path.join(folder, 'runs'), '--out', folder);
  expect(status).toBe(0);
  expect(fs.readdirSync(path.join(folder, kind)).sort()).toEqual([
    'about.json',
    'config.json',
    'model.safetensors',
    'tokenizer.json',
    'tokenizer_config.json',
  ]);
  expect(fs.readdirSync(path.join(folder, 'runs'))).toEqual([]);
});

test('training of the vision tower that is killed goes on, and ends with the weights of one that was not', async () => {
  const args = ['vision', '--steps', '60', '--concepts', '2', '--pictures', '4'];
  const whole = path.join(out, 'whole');
  expect(run('encoders', ...args, '--runs', path.join(whole, 'runs'), '--out', whole).status).toBe(0);
  const killed = path.join(out, 'killed');
  const places = ['--runs', path.join(killed, 'runs'), '--out', killed];
  const child: ChildProcess = spawn(process.execPath, ['build/examples/encoders/main.js', ...args, ...places], {
    cwd: root,
    env,
  });
  const checkpoints = path.join(killed, 'runs/vision/checkpoints');
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  while (
    child.exitCode === null &&
    !(fs.existsSync(checkpoints) && fs.readdirSync(checkpoints).some((name) => name.startsWith('step-')))
  ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  child.kill('SIGKILL');
  await ended;
  expect(fs.existsSync(path.join(killed, 'vision.safetensors'))).toBe(false);
  const again = run('encoders', ...args, ...places);
  expect(again.status).toBe(0);
  expect(again.stderr).toMatch(/going on after step \d+/);
  const [a, b] = [whole, killed].map((folder) => fs.readFileSync(path.join(folder, 'vision.safetensors')));
  expect(a?.equals(b as Buffer)).toBe(true);
  const about = JSON.parse(fs.readFileSync(path.join(killed, 'vision.json'), 'utf8'));
  expect(about).toMatchObject({ command: 'npm run demo:encoders -- vision', recipe: { steps: 60, concepts: 2 } });
});

test.each([
  ['demo', '--steps', '0', '--steps: expected a whole number from 1'],
  ['demo', '--rate', 'fast', '--rate: expected a number above 0, got "fast"'],
  ['demo', '--image', 'nowhere.png', '--image: there is no file nowhere.png'],
  ['demo', '--ablation', 'no-luck', '--ablation: expected no-stage-1 or no-itg, got "no-luck"'],
  ['demo', '--colour', 'red', "Unknown option '--colour'"],
  ['encoders', '--steps', 'many', '--steps: expected a whole number from 1'],
  ['demo', '--llm', 'gpt', '--llm: expected opt or t5, got "gpt"'],
  ['demo', '--ask', 'why?', '--ask: expected a picture'],
  ['encoders', 'sound', '--validation', 'expected some of vision, opt, t5'],
])('%s %s %s is refused with the usage', (program, name, value, message) => {
  const { status, stderr } = run(program, name, value);
  expect(status).toBe(2);
  expect(stderr).toContain(message);
  expect(stderr).toContain('usage: npm run demo');
});
