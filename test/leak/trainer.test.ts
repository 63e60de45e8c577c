import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  JsonLinesLog,
  memory,
  type StepRecord,
  setThreads,
  stage1Trainer,
  TensorBoardLog,
  type TrainingLog,
  threads,
} from '../../src/index.ts';
import { growth } from '../support/resident.ts';
import { noise, tinyEncoder, tinyModel, tinyRecipe, tokenizer } from '../support/stage1-run.ts';

// One thread: threads that wait for each other's cores would take minutes on a busy machine.
const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

const STEPS = 3000;

/** Notes what is held after every step. */
class Watch implements TrainingLog {
  readonly live: number[] = [];
  readonly resident: number[] = [];
  readonly losses: number[] = [];

  open(): void {}
  step(record: StepRecord): void {
    this.live.push(memory().tensors);
    if (record.step % 50 !== 0) return;
    gc?.();
    this.resident.push(process.memoryUsage.rss());
    this.losses.push(record.losses.loss as number);
  }
  evaluation(): void {}
  message(): void {}
  close(): void {}
}

test('3,000 steps of the first stage hold the number of live tensors exactly and the memory of the process nearly', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-leak-'));
  const recipe = tinyRecipe({ steps: STEPS });
  const [model, encoder, watch] = [tinyModel(recipe), tinyEncoder(recipe), new Watch()];
  const weights = memory().tensors;
  const logs = [watch, new JsonLinesLog(path.join(directory, 'log.jsonl')), new TensorBoardLog(directory)];
  const checkpoints = { every: 1000, keepLast: 1 };
  const trainer = stage1Trainer(recipe, {
    model,
    encoder,
    tokenizer,
    data: noise(recipe),
    directory,
    logs,
    checkpoints,
    signals: false,
  });
  expect(await trainer.run()).toMatchObject({ reason: 'done', step: STEPS });
  expect(watch.losses.at(-1)).toBeLessThan((watch.losses[0] as number) - 0.5);
  // A step is looked at when the next has begun, but for one before a checkpoint: then nothing of a next one is there.
  const [steady, saved] = [new Set<number>(), new Set<number>()];
  for (const [i, count] of watch.live.entries()) ((i + 1) % 1000 === 0 ? saved : steady).add(count);
  expect([steady.size, saved.size]).toEqual([1, 1]);
  expect(growth(watch.resident)).toBeLessThan(4);
  expect(memory().tensors).toBe(weights);
  model.dispose();
  encoder.dispose();
  expect(memory().tensors).toBe(0);
  fs.rmSync(directory, { recursive: true });
}, 300_000);
