import { readFileSync } from 'node:fs';
import { resolveOptions } from '../../src/generate/options.ts';
import { Processing } from '../../src/generate/processing.ts';
import { generate, scope, setThreads, tensor, threads } from '../../src/index.ts';
import { camelCase } from '../support/huggingface.ts';
import { Table } from '../support/table-model.ts';

interface Options {
  readonly eos_token_id?: number | number[];
  readonly [name: string]: unknown;
}
interface Golden {
  vocabulary: number;
  positions: number;
  cases: {
    model: { seed: number; scale: number; bonus: number };
    prompt: number[][];
    options: Options;
    new: number[][];
    scores?: (number | null)[];
  }[];
  processed: { prompt: number[][]; options: Options; logits: number[][]; probabilities: number[][] }[];
}

const golden = JSON.parse(readFileSync(new URL('../fixtures/decoding.json', import.meta.url), 'utf8')) as Golden;

const ids = (rows: number[][]) => tensor(rows, { dtype: 'int64' });

// Many tiny steps: threads would only wait for each other.
const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

test('token ids and scores of several hundred settings are those of Hugging Face', async () => {
  let beams = 0;
  for (const [index, { model, prompt, options, new: expected, scores }] of golden.cases.entries()) {
    const ends = [options.eos_token_id ?? []].flat();
    const table = new Table({ ...golden, ...model, ends });
    const { sequences, sequencesScores } = await generate(table.decode(prompt), { inputIds: ids(prompt) }, camelCase(options));
    const rowsPerPrompt = expected.length / prompt.length;
    const full = expected.map((row, r) => [...(prompt[Math.floor(r / rowsPerPrompt)] as number[]), ...row]);
    expect({ index, options, sequences: sequences.toArray() }).toEqual({ index, options, sequences: full });
    if (scores === undefined) {
      expect(sequencesScores).toBeNull();
    } else {
      beams++;
      const ours = sequencesScores?.toArray() as number[];
      for (const [row, score] of scores.entries()) {
        if (score === null) expect(ours[row]).toBe(Number.NEGATIVE_INFINITY);
        else expect(Math.abs((ours[row] as number) - score)).toBeLessThanOrEqual(1e-4 * Math.max(1, Math.abs(score)));
      }
    }
    for (const made of [sequences, sequencesScores, table]) made?.dispose();
  }
  expect(beams).toBeGreaterThan(300);
});

test('distributions after all processors, sampling included, are those of Hugging Face', () => {
  for (const { prompt, options, logits, probabilities } of golden.processed) {
    scope(() => {
      const [batch, length] = [prompt.length, (prompt[0] as number[]).length];
      const settings = resolveOptions(camelCase(options), { batch, length, room: Number.POSITIVE_INFINITY });
      const host = BigInt64Array.from(prompt.flat(), BigInt);
      const processing = new Processing(settings, { batch, length, ids: host, device: 'cpu' }, 1, golden.vocabulary);
      const ours = processing.apply(tensor(logits).unsqueeze(1)).softmax(-1).squeeze(1).toArray() as number[][];
      processing.dispose();
      for (const [row, expected] of probabilities.entries()) {
        for (const [token, p] of expected.entries()) {
          const q = (ours[row] as number[])[token] as number;
          if (p === 0) expect(q).toBe(0);
          else expect(Math.abs(q - p)).toBeLessThanOrEqual(1e-5 * p + 1e-9);
        }
      }
    });
  }
});
