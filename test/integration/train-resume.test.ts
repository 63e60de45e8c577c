import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ChildRun, lastCheckpoint, loggedLosses, reached, startRun } from '../support/resumed-runs.ts';

const STEPS = 22;
const root = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-resume-'));
const photos = path.join(import.meta.dirname, '../fixtures/photos');
const captions = path.join(root, 'captions.jsonl');

// Six pictures with 30 captions: an epoch ends inside a batch, and runs begin and end in the middle of one.
beforeAll(() => {
  const names = ['camera.png', 'chelsea.png', 'coffee.png', 'color.png', 'rocket.jpg', 'kinds/grey.jpg'];
  const lines = names.flatMap((image, i) =>
    ['a photo of a', 'the', 'one', 'this is a', 'somebody took a picture of a'].map((start) =>
      JSON.stringify({ image, image_id: i, caption: `${start} ${path.parse(image).name} ${'and more '.repeat(i % 3)}`.trim() }),
    ),
  );
  fs.writeFileSync(captions, `${lines.join('\n')}\n`);
});
afterAll(() => fs.rmSync(root, { recursive: true }));

const start = (directory: string, steps = STEPS): ChildRun =>
  startRun('train-resume.child.mjs', directory, [captions, photos, String(steps)]);

let whole: string;
beforeAll(async () => {
  whole = path.join(root, 'whole');
  const { code, err, out } = await start(whole).ended;
  expect([code, code === 0 ? '' : err]).toEqual([0, '']);
  expect(JSON.parse(out)).toMatchObject({ reason: 'done', step: STEPS, samples: 8 * STEPS });
}, 300_000);

test('a run that is killed, at any moment, and goes on ends with the same weights', async () => {
  const directory = path.join(root, 'killed');
  // Before the first checkpoint, and twice anywhere.
  const moments = [2, 4 + 8 * Math.random(), 12 + 8 * Math.random()].map(Math.floor);
  for (const moment of moments) {
    const run = start(directory);
    await reached(run, moment);
    await sleep(40 * Math.random());
    run.child.kill('SIGKILL');
    expect((await run.ended).signal).toBe('SIGKILL');
  }
  const { code, err } = await start(directory).ended;
  expect([moments, code, code === 0 ? '' : err]).toEqual([moments, 0, '']);
  expect(err).toMatch(/going on after step \d+/);
  expect(lastCheckpoint(directory)).toEqual(lastCheckpoint(whole));
  expect(loggedLosses(directory)).toEqual(loggedLosses(whole));
}, 300_000);

test.each(['SIGTERM', 'SIGINT'] as const)(
  'on %s a run saves, says so, and goes on from there',
  async (signal) => {
    const directory = path.join(root, signal);
    const run = start(directory);
    await reached(run, 6);
    run.child.kill(signal);
    const { code, out, err } = await run.ended;
    expect(code).toBe(0);
    const { reason, step } = JSON.parse(out) as { reason: string; step: number };
    expect(reason).toBe(signal);
    expect(step).toBeGreaterThanOrEqual(6);
    expect(err).toContain(`${signal}: stopping after this step`);
    expect(err).toContain(
      `stopped by ${signal} after step ${step}; saved in ${directory}/checkpoints/step-${String(step).padStart(8, '0')}`,
    );
    const again = await start(directory).ended;
    expect(again.err).toContain(`going on after step ${step}`);
    expect(lastCheckpoint(directory)).toEqual(lastCheckpoint(whole));
  },
  300_000,
);
