import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lastCheckpoint, loggedLosses, reached, startRun } from '../support/resumed-runs.ts';

const STEPS = 18;
const root = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-stage2-resume-'));
afterAll(() => fs.rmSync(root, { recursive: true }));

const start = (kind: string, name: string) =>
  startRun('stage2-resume.child.mjs', path.join(root, kind, name), [kind, String(STEPS)]);

test.each(['opt', 't5'])(
  'with %s, a run that is killed, at any moment, and goes on ends with the same weights',
  async (kind) => {
    const whole = start(kind, 'whole');
    const first = await whole.ended;
    expect([first.code, first.code === 0 ? '' : first.err]).toEqual([0, '']);
    expect(JSON.parse(first.out)).toMatchObject({ reason: 'done', step: STEPS, samples: 8 * STEPS });
    // Before the first checkpoint, and once anywhere.
    const moments = [2, 5 + Math.floor(10 * Math.random())];
    for (const moment of moments) {
      const run = start(kind, 'killed');
      await reached(run, moment);
      await sleep(20 * Math.random());
      run.child.kill('SIGKILL');
      expect((await run.ended).signal).toBe('SIGKILL');
    }
    const run = start(kind, 'killed');
    const { code, err } = await run.ended;
    expect([moments, code, code === 0 ? '' : err]).toEqual([moments, 0, '']);
    expect(err).toMatch(/going on after step \d+/);
    expect(lastCheckpoint(run.directory)).toEqual(lastCheckpoint(whole.directory));
    expect(loggedLosses(run.directory)).toEqual(loggedLosses(whole.directory));
    // What divides captions, and the dropout of the language model, go on where they were.
    expect(Object.keys(lastCheckpoint(run.directory)).sort()).toEqual([
      'model.safetensors',
      'optimizer.safetensors',
      'state.json',
    ]);
  },
  300_000,
);
