import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { Blip2ForConditionalGeneration, Blip2Processor } from '../../src/index.ts';

const root = path.resolve(import.meta.dirname, '../..');
const tiny = ['--steps', '20', '--concepts', '3', '--pictures', '10', '--batch-size', '8'];
let out: string;

/** Runs the compiled demo as `npm run demo:captioner` does. */
function demo(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, OMP_NUM_THREADS: '1' };
  return spawnSync(process.execPath, ['build/examples/captioner/main.js', ...args], { cwd: root, env, encoding: 'utf8' });
}

beforeAll(() => {
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.examples.json'], { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(stdout);
  out = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-demo-'));
});
afterAll(() => fs.rmSync(out, { recursive: true }));

test('a short demo trains, saves, loads again and reports; then it captions a picture with what it saved', async () => {
  const { status, stdout, stderr } = demo(...tiny, '--out', out);
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.not.stringContaining('Error') });
  expect(stdout).toMatch(
    /new combinations, 10 pictures: exact [\d.]+ %, size [\d.]+ %, concept [\d.]+ %, place [\d.]+ %, colour/,
  );
  expect(stdout).toMatch(/unseen style, 10 pictures: exact/);

  expect((await sharp(path.join(out, 'captions.png')).metadata()).format).toBe('png');
  expect(fs.readFileSync(path.join(out, 'captions.html'), 'utf8')).toContain('20 steps of 8 pictures');
  expect(fs.readdirSync(out).sort()).toEqual(['captions.html', 'captions.png', 'model']);
  const model = Blip2ForConditionalGeneration.fromPretrained(path.join(out, 'model'));
  const processor = Blip2Processor.fromPretrained(path.join(out, 'model'));
  expect(processor.tokenizer.vocabSize).toBe(model.config.textConfig.vocabSize);
  expect(processor.encode('a photo of a small sailboat', false).inputIds[0]).not.toContain(processor.tokenizer.specialId('unk'));
  model.dispose();

  const picture = path.join(out, 'mine.png');
  const background = { r: 60, g: 110, b: 200 };
  await sharp({ create: { width: 100, height: 80, channels: 3, background } })
    .png()
    .toFile(picture);
  const noPicture = demo('--out', out, '--image', path.join(out, 'captions.html'));
  expect(noPicture).toMatchObject({ status: 1, stderr: expect.stringContaining('captions.html') });
  expect(noPicture.stderr).not.toMatch(/^ {4}at /m);
  const captioned = demo('--out', out, '--image', picture);
  expect(captioned).toMatchObject({ status: 0, stdout: expect.stringMatching(/^.*mine\.png: .*\n$/) });
}, 120_000);

test('equal seeds and steps give equal weights, another seed others', () => {
  const weights = (name: string, seed: string): Buffer => {
    const folder = path.join(out, name);
    const { status } = demo(...tiny, '--steps', '3', '--pictures', '1', '--seed', seed, '--out', folder);
    expect(status).toBe(0);
    return fs.readFileSync(path.join(folder, 'model/model.safetensors'));
  };
  const first = weights('first', '1');
  expect(weights('second', '1').equals(first)).toBe(true);
  expect(weights('third', '2').equals(first)).toBe(false);
}, 120_000);

test.each([
  ['--steps', '0', '--steps: expected a whole number from 1'],
  ['--rate', 'fast', '--rate: expected a number above 0, got "fast"'],
  ['--image', 'nowhere.png', '--image: there is no file nowhere.png'],
  ['--colour', 'red', "Unknown option '--colour'"],
])('%s %s is refused with the usage', (name, value, message) => {
  const { status, stderr } = demo(name, value);
  expect(status).toBe(2);
  expect(stderr).toContain(message);
  expect(stderr).toContain('usage: npm run demo:captioner');
});
