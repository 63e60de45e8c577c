import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  initFromStage1,
  JsonLinesLog,
  memory,
  setThreads,
  stage1Trainer,
  stage2Trainer,
  TensorBoardLog,
  threads,
} from '../../src/index.ts';
import { collected, growth } from '../support/resident.ts';
import { noise, tinyEncoder, tinyModel, tinyRecipe, tokenizer } from '../support/stage1-run.ts';
import { type Kind, tinyLanguageModel, tinyStage2, tinyStage2Model, wordTokenizer } from '../support/stage2-run.ts';

// One thread: threads that wait for each other's cores would take minutes on a busy machine.
const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

const RUNS = 20;
const STEPS = 5;

const logsIn = (directory: string) => [new JsonLinesLog(path.join(directory, 'log.jsonl')), new TensorBoardLog(directory)];
const evaluation = { every: 2, run: async () => ({ score: 1 }), best: { metric: 'score', better: 'higher' } } as const;

/** Both stages, one after the other, as an ablation runs them; frees what they leave. */
async function bothStages(directory: string, kind: Kind): Promise<void> {
  const [first, second] = ['stage1', 'stage2'].map((name) => path.join(directory, name)) as [string, string];
  const recipe1 = tinyRecipe({ steps: STEPS });
  const [model1, encoder] = [tinyModel(recipe1), tinyEncoder(recipe1)];
  const parts1 = { model: model1, encoder, tokenizer, data: noise(recipe1), directory: first, logs: logsIn(first), evaluation };
  const { checkpoint } = await stage1Trainer(recipe1, parts1).run();
  const recipe2 = tinyStage2(kind, { steps: STEPS });
  const [model2, languageModel] = [tinyStage2Model(recipe2), tinyLanguageModel(recipe2)];
  initFromStage1(model2, path.join(checkpoint, 'model.safetensors'));
  const data = noise(recipe2);
  const parts2 = { model: model2, languageModel, encoder, tokenizer: wordTokenizer(kind), data };
  await stage2Trainer(recipe2, { ...parts2, directory: second, logs: logsIn(second), evaluation }).run();
  for (const part of [model1, encoder, model2, languageModel]) part.dispose();
}

const openFiles = (): number => (fs.existsSync('/proc/self/fd') ? fs.readdirSync('/proc/self/fd').length : 0);
const listeners = (): number => process.listenerCount('SIGINT') + process.listenerCount('SIGTERM');

test('training runs one after the other leave no tensors, files, listeners or memory behind', async () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-leak-'));
  const left: { tensors: number; bytes: number; listeners: number }[] = [];
  const files: number[] = [];
  const heap: number[] = [];
  const listening = listeners();
  const resident: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    await bothStages(path.join(root, String(i)), i % 2 === 0 ? 'opt' : 't5');
    const { tensors, bytes } = memory(); // before anything is collected: runs free what they made
    left.push({ tensors, bytes, listeners: listeners() });
    await collected();
    files.push(openFiles());
    heap.push(process.memoryUsage().heapUsed);
    resident.push(process.memoryUsage.rss());
    fs.rmSync(path.join(root, String(i)), { recursive: true });
  }
  fs.rmdirSync(root);
  expect(left).toEqual(left.map(() => ({ tensors: 0, bytes: 0, listeners: listening })));
  // One that stayed open would stay a run; what is opened once for all does not count.
  expect((files.at(-1) as number) - (files[0] as number)).toBeLessThan(RUNS / 2);
  expect(growth(heap)).toBeLessThan(1);
  expect(growth(resident)).toBeLessThan(4);
});
