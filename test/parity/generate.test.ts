import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Blip2ForConditionalGeneration, cat, type GenerateInputs, loadSafetensors, type Tensor } from '../../src/index.ts';
import { camelCase } from '../support/huggingface.ts';

// Goldens: scripts/oracle/hf_goldens.py, Hugging Face's Blip2ForConditionalGeneration.generate with OPT.

interface Decoded {
  options: Record<string, unknown>;
  sequences: number[][];
  sequences_scores: number[] | null;
}

const folder = path.join(import.meta.dirname, '../fixtures/hf/opt');
const io = loadSafetensors(path.join(folder, 'io.safetensors'));
const golden = JSON.parse(readFileSync(path.join(folder, 'golden.json'), 'utf8')) as Record<string, Decoded[]>;
const model = Blip2ForConditionalGeneration.fromPretrained(folder);
const pixelValues = io.get('pixel_values') as Tensor;
const inputIds = io.get('input_ids') as Tensor;
const attentionMask = io.get('attention_mask') as Tensor;

const kinds: readonly [string, GenerateInputs, string][] = [
  ['a padded prompt', { pixelValues, inputIds, attentionMask }, 'generate_with_prompt'],
  ['no prompt', { pixelValues }, 'generate_without_prompt'],
];

describe.each(kinds)('with %s', (_name, inputs, key) => {
  const settings = golden[key] as Decoded[];

  test('there are ten settings', () => expect(settings).toHaveLength(10));

  test.each(settings.map((setting) => [JSON.stringify(setting.options), setting] as const))('%s', async (_options, setting) => {
    const { sequences, sequencesScores } = await model.generate(inputs, { ...camelCase(setting.options), maxNewTokens: 12 });
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
])('every row alone, without its padding, is written %s as in its batch', async (_, how) => {
  const options = { ...how, maxNewTokens: 12 };
  const seed = [11, 12, 13];
  const width = inputIds.size(1);
  const rowsOf = (sequences: Tensor, prompt: number): number[][] =>
    (sequences.toArray() as number[][]).map((row) => row.slice(prompt));
  const together = rowsOf(
    (await model.generate({ pixelValues, inputIds, attentionMask }, { ...options, seed })).sequences,
    width,
  );
  const perRow = together.length / 3;
  const queries = model.config.numQueryTokens;
  for (const row of [0, 1, 2]) {
    const pads = width - attentionMask.select(0, row).sum().item();
    const one = (tensor: Tensor): Tensor => tensor.narrow(0, row, 1);
    // Padding stands between the image tokens and the text.
    const words = one(inputIds).narrow(1, queries + pads, width - queries - pads);
    const inputs = { pixelValues: one(pixelValues), inputIds: cat([one(inputIds).narrow(1, 0, queries), words], 1) };
    const { sequences } = await model.generate(inputs, { ...options, seed: seed[row] as number });
    for (const [i, alone] of rowsOf(sequences, width - pads).entries()) {
      expect(together[row * perRow + i]?.slice(0, alone.length)).toEqual(alone);
    }
  }
});
