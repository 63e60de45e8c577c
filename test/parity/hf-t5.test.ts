import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Blip2ForConditionalGeneration } from '../../src/models/blip2/model.ts';
import type { T5ForConditionalGeneration } from '../../src/models/t5/model.ts';
import { inferenceMode, loadSafetensors, scope, setThreads, type Tensor, threads } from '../../src/tensor/index.ts';
import { expectClose, expectGradientClose } from '../closeness.ts';
import { camelCase } from '../support/huggingface.ts';

// Goldens: scripts/oracle/hf_goldens.py, Hugging Face's Blip2ForConditionalGeneration with T5.

interface Decoded {
  options: Record<string, unknown>;
  sequences: number[][];
  sequences_scores: number[] | null;
}

const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

const folder = path.join(import.meta.dirname, '../fixtures/hf/t5');
const io = loadSafetensors(path.join(folder, 'io.safetensors'));
const golden = (name: string): Tensor => io.get(name) as Tensor;
const decodings = JSON.parse(readFileSync(path.join(folder, 'golden.json'), 'utf8')) as Record<string, Decoded[]>;
const model = Blip2ForConditionalGeneration.fromPretrained(folder);
const t5 = model.languageModel as T5ForConditionalGeneration;

const [pixelValues, inputIds, attentionMask] = [golden('pixel_values'), golden('input_ids'), golden('attention_mask')];
const inputs = { pixelValues, inputIds, attentionMask, labels: golden('labels') };

test('logits, loss and what lies before the language model', () => {
  inferenceMode(() =>
    scope(() => {
      const output = model.forward(inputs);
      expectClose(output.logits, golden('logits'));
      expectClose(output.loss as Tensor, golden('loss').squeeze(0));
      expectClose(output.imageEmbeds, golden('vision_last_hidden_state'));
      expectClose(output.queryOutput, golden('qformer_last_hidden_state'));
      expectClose(output.languageModelInputs, golden('projected'));
      expectClose(model.visionModel.pool(output.imageEmbeds), golden('vision_pooler_output'));
    }),
  );
});

test('decoder inputs in place of labels, and the pieces that decoding uses, give the same', () => {
  inferenceMode(() =>
    scope(() => {
      const decoderInputIds = t5.shiftRight(inputs.labels);
      const { logits, loss } = model.forward({ pixelValues, inputIds, attentionMask, decoderInputIds });
      expect(loss).toBeUndefined();
      expectClose(logits, golden('logits'));
      const embedded = model.embedPrompt(inputIds, model.encodeImages(pixelValues));
      const encoded = t5.encode(embedded, attentionMask);
      expectClose(t5.project(t5.decode(decoderInputIds, encoded, attentionMask)), golden('logits'));
    }),
  );
});

test('a larger picture, its positions interpolated', () => {
  inferenceMode(() =>
    scope(() => {
      const { lastHiddenState } = model.visionModel.forward(golden('big_pixel_values'), { interpolatePosEncoding: true });
      expectClose(lastHiddenState, golden('big_vision_last_hidden_state'));
    }),
  );
});

test.each([
  ['everything that learns', () => model.unfreeze()],
  ['the language model frozen', () => void model.languageModel.freeze()],
])('gradients of the loss, %s', (_, prepare) => {
  prepare();
  const parameters = model.namedParameters();
  for (const parameter of parameters.values()) parameter.grad = null;
  scope(() => (model.forward(inputs).loss as Tensor).backward());
  const names = [...io.keys()].filter((name) => name.startsWith('grad.'));
  expect(names).toHaveLength(5);
  scope(() => {
    for (const name of names) {
      expectGradientClose(parameters.get(name.slice('grad.'.length))?.grad as Tensor, golden(name));
    }
  });
  expect(t5.shared.weight.grad === null).toBe(!t5.shared.weight.requiresGrad);
});

describe.each([
  ['a padded prompt', { pixelValues, inputIds, attentionMask }, 'generate_with_prompt'],
  ['no prompt', { pixelValues }, 'generate_without_prompt'],
])('with %s', (_name, given, key) => {
  const settings = decodings[key] as Decoded[];

  test('there are ten settings', () => expect(settings).toHaveLength(10));

  test.each(settings.map((setting) => [JSON.stringify(setting.options), setting] as const))('%s', async (_options, setting) => {
    const { sequences, sequencesScores } = await model.generate(given, { ...camelCase(setting.options), maxNewTokens: 12 });
    expect(sequences.toArray()).toEqual(setting.sequences);
    expect(sequences.dtype).toBe('int64');
    if (setting.sequences_scores === null) expect(sequencesScores).toBeNull();
    else {
      const scores = sequencesScores?.toArray() as number[];
      expect(scores).toHaveLength(setting.sequences_scores.length);
      for (const [row, score] of setting.sequences_scores.entries()) {
        expect(Math.abs((scores[row] as number) - score)).toBeLessThanOrEqual(1e-4);
      }
    }
  });
});

test.each([
  ['greedily', {}],
  ['with beams', { numBeams: 4, lengthPenalty: -1, numReturnSequences: 2 }],
  ['by sampling', { doSample: true, topP: 0.95, temperature: 1.5 }],
  ['by sampling with beams', { doSample: true, numBeams: 3 }],
])('every row alone is written %s as in its batch', async (_, how) => {
  const options = { ...how, maxNewTokens: 12 };
  const seed = [11, 12, 13];
  const together = (await model.generate({ pixelValues, inputIds, attentionMask }, { ...options, seed })).sequences;
  const perRow = together.size(0) / 3;
  const rows = together.toArray() as number[][];
  for (const row of [0, 1, 2]) {
    const tokens = (attentionMask.select(0, row).sum().item() as number) | 0;
    const one = (tensor: Tensor): Tensor => tensor.narrow(0, row, 1);
    const alone = await model.generate(
      { pixelValues: one(pixelValues), inputIds: one(inputIds).narrow(1, 0, tokens) },
      { ...options, seed: seed[row] as number },
    );
    for (const [i, ids] of (alone.sequences.toArray() as number[][]).entries()) {
      expect((rows[row * perRow + i] as number[]).slice(0, ids.length)).toEqual(ids);
    }
  }
});
