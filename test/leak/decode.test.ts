import path from 'node:path';
import {
  Blip2ForConditionalGeneration,
  type GenerateOptions,
  generate,
  loadSafetensors,
  memory,
  setThreads,
  type Tensor,
  tensor,
  threads,
} from '../../src/index.ts';
import { collected, growth } from '../support/resident.ts';
import { Table } from '../support/table-model.ts';

const STEPS = 2000;

const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

const kinds: readonly [string, GenerateOptions][] = [
  ['greedy, with penalties', { repetitionPenalty: 1.1, noRepeatNgramSize: 3 }],
  ['sampling', { doSample: true, topP: 0.9, numReturnSequences: 4, seed: 1 }],
  ['five beams', { numBeams: 5, earlyStopping: 'never', lengthPenalty: 2 }],
  ['beam sampling, with penalties', { numBeams: 5, doSample: true, seed: 1, repetitionPenalty: 1.1 }],
];

test.each(kinds)(`live tensors stay exactly as many over one decode of ${STEPS} steps: %s`, async (_kind, options) => {
  const table = new Table({ vocabulary: 40, positions: STEPS + 8, seed: 1, scale: 4, bonus: 0, ends: [] });
  const rows = [
    [1, 2],
    [3, 4],
  ];
  const model = table.decode(rows);
  await collected();
  const counts: number[] = [];
  model.onStep = () => counts.push(memory().tensors);
  const inputIds = tensor(rows, { dtype: 'int64' });
  const { sequences, sequencesScores } = await generate(model, { inputIds }, { ...options, maxNewTokens: STEPS });
  for (const made of [sequences, sequencesScores, inputIds, table]) made?.dispose();
  expect(counts).toHaveLength(STEPS - 1);
  expect(new Set(counts.slice(STEPS / 5)).size).toBe(1);
});

test(`neither live tensors nor resident memory grow over ${STEPS} steps of the whole model`, async () => {
  const folder = path.join(import.meta.dirname, '../fixtures/hf/opt');
  const io = loadSafetensors(path.join(folder, 'io.safetensors'));
  const model = Blip2ForConditionalGeneration.fromPretrained(folder);
  const inputs = {
    pixelValues: io.get('pixel_values') as Tensor,
    inputIds: io.get('input_ids') as Tensor,
    attentionMask: io.get('attention_mask') as Tensor,
  };
  const perDecode = 20;
  const decodes = STEPS / perDecode;
  const live: number[] = [];
  const resident: number[] = [];
  for (let decode = 0; decode < decodes; decode++) {
    const [, options] = kinds[decode % kinds.length] as [string, GenerateOptions];
    // Without an end token every decode takes all its steps.
    const { sequences, sequencesScores } = await model.generate(inputs, {
      ...options,
      maxNewTokens: perDecode,
      eosTokenId: null,
    });
    sequences.dispose();
    sequencesScores?.dispose();
    if (decode % kinds.length === 0) {
      await collected();
      live.push(memory().tensors);
      resident.push(process.memoryUsage.rss());
    }
  }
  const late = Math.floor(live.length / 5);
  expect(new Set(live.slice(late)).size).toBe(1);
  expect(growth(resident)).toBeLessThan(4);
});
