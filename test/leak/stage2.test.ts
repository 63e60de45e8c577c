import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { memory, type StepRecord, setThreads, stage2Trainer, type TrainingLog, threads } from '../../src/index.ts';
import { growth } from '../support/resident.ts';
import { noise, tinyEncoder, tinyRecipe } from '../support/stage1-run.ts';
import { type Kind, tinyLanguageModel, tinyStage2, tinyStage2Model, wordTokenizer } from '../support/stage2-run.ts';

// One thread: threads that wait for each other's cores would take minutes on a busy machine.
const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

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
    this.losses.push(record.losses.lm as number);
  }
  evaluation(): void {}
  message(): void {}
  close(): void {}
}

const STEPS = 2000;

test.each<Kind>(['opt', 't5'])(
  'with %s, 2,000 steps of the second stage hold the number of live tensors exactly and the memory of the process nearly',
  async (kind) => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-leak-'));
    const recipe = tinyStage2(kind, { steps: STEPS, batchSize: 4 });
    const earlier = memory().tensors;
    const [model, languageModel, encoder] = [tinyStage2Model(recipe), tinyLanguageModel(recipe), tinyEncoder(tinyRecipe())];
    const [weights, watch] = [memory().tensors, new Watch()];
    const parts = { model, languageModel, encoder, tokenizer: wordTokenizer(kind), data: noise(recipe) };
    const saving = { checkpoints: { every: 500, keepLast: 1 }, logs: [watch], signals: false };
    const trainer = stage2Trainer(recipe, { ...parts, directory, ...saving });
    expect(await trainer.run()).toMatchObject({ reason: 'done', step: STEPS });
    expect(watch.losses.every(Number.isFinite)).toBe(true);
    // A step is looked at when the next has begun, but for one before a checkpoint: then nothing of a next one is there.
    const [steady, saved] = [new Set<number>(), new Set<number>()];
    for (const [i, count] of watch.live.entries()) ((i + 1) % 500 === 0 ? saved : steady).add(count);
    expect([steady.size, saved.size]).toEqual([1, 1]);
    expect(growth(watch.resident)).toBeLessThan(4);
    expect(memory().tensors).toBe(weights);
    for (const part of [model, languageModel, encoder]) part.dispose();
    expect(memory().tensors).toBe(earlier);
    fs.rmSync(directory, { recursive: true });
  },
  300_000,
);
