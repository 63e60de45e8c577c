import path from 'node:path';
import {
  ArgumentError,
  arange,
  type Blip2ForPretraining,
  captionMask,
  cat,
  inferenceMode,
  loadSafetensors,
  memory,
  ones,
  parsePretrainingConfig,
  pretrainingConfigToJson,
  QFormerDecoding,
  randint,
  scope,
  setThreads,
  type Tensor,
  tensor,
} from '../../src/index.ts';
import { expectClose } from '../closeness.ts';
import { buildGolden, type GoldenConfig, golden, readJson } from '../support/stage1.ts';

setThreads(1); // models this small only wait for each other's threads

interface Recorded {
  settings: { num_beams?: number; max_length?: number; min_length?: number; early_stopping?: boolean | 'never' };
  sequences: number[][];
  counted: number[][];
}
type Special = GoldenConfig & { dec_token_id: number; sep_token_id: number };

const captions = readJson<Record<string, Recorded[]>>(golden('stage1-captions.json'));

function load(name: string): { model: Blip2ForPretraining; pictures: Tensor; eosTokenId: number } {
  const folder = golden(name);
  if (name === 'stage1-plain') {
    const config = readJson<Special>(folder, 'config.json');
    const pictures = loadSafetensors(path.join(folder, 'batch.safetensors')).get('image_embeds') as Tensor;
    return { model: buildGolden(config, path.join(folder, 'weights.safetensors')), pictures, eosTokenId: config.sep_token_id };
  }
  const { config } = readJson<{ config: Special }>(folder, 'trajectory.json');
  const batches = loadSafetensors(path.join(folder, 'batches.safetensors')).get('image_embeds') as Tensor;
  return {
    model: buildGolden(config, path.join(folder, 'final_weights.safetensors')),
    pictures: batches.select(0, 0),
    eosTokenId: config.sep_token_id,
  };
}

describe.each(['stage1-plain', 'stage1-trajectory'])('captions of %s', (name) => {
  const { model, pictures, eosTokenId } = load(name);

  test.each(captions[name] as Recorded[])('ids as LAVIS gives them, $settings', async ({ settings, counted }) => {
    const options = {
      ...(settings.num_beams === undefined ? {} : { numBeams: settings.num_beams }),
      ...(settings.max_length === undefined ? {} : { maxLength: settings.max_length }),
      ...(settings.min_length === undefined ? {} : { minLength: settings.min_length }),
      ...(settings.early_stopping === undefined ? {} : { earlyStopping: settings.early_stopping }),
    };
    const generated = await model.generate({ imageFeatures: pictures }, { eosTokenId, ...options });
    // With a pad of 0, beam search fills rows with the end token, as Hugging Face's newer versions do; LAVIS's fills them with the pad.
    const cut = (rows: number[][]): number[][] =>
      rows.map((row) => (row.includes(eosTokenId) ? row.slice(0, row.indexOf(eosTokenId) + 1) : row));
    expect(cut((generated.sequences.toArray() as number[][]).map((row) => row.map(Number)))).toEqual(cut(counted));
  });

  test('steps over the cache give the logits of one pass over queries and text', () => {
    inferenceMode(() =>
      scope(() => {
        const [count, width, length] = [pictures.size(0), 3, 7];
        const ids = cat(
          [tensor([[96]], { dtype: 'int64' }).expand(count * width, -1), randint(4, 90, [count * width, length])],
          1,
        );
        const queries = model.config.numQueryTokens;
        const { queries: _, keyValues } = model.qformer.encode({
          queryEmbeds: model.queryTokens,
          encoderKeyValues: model.imageKeyValues(pictures.repeatInterleave(width, 0)),
          cache: true,
        });
        const text = model.qformer.encode({
          textEmbeds: model.embeddings.forward(ids),
          attentionMask: captionMask(ones([count * width, length + 1]), queries),
          pastKeyValues: keyValues,
        }).text as Tensor;
        const expected = model.cls.forward(text, model.embeddings.wordEmbeddings.weight).view(count, width, length + 1, -1);
        // The prompt is the first token, then the first two.
        for (const prompt of [1, 2]) {
          const rows = arange(0, count * width, width);
          const start = ids.indexSelect(0, rows).narrow(1, 0, prompt);
          const decoding = new QFormerDecoding(model, start, model.imageKeyValues(pictures));
          const first = decoding.prefill(width, length);
          expectClose(first, expected.select(1, 0).select(1, prompt - 1));
          if (prompt === 1) {
            for (let i = 1; i <= length; i++) {
              const logits = decoding.step(ids.view(count, width, -1).select(2, i), null);
              expectClose(logits, expected.select(2, i));
            }
          }
          decoding.dispose();
        }
      }),
    );
  });
});

describe('inputs and options', () => {
  const { model, pictures, eosTokenId } = load('stage1-trajectory');

  test('begins with the words that are given', async () => {
    const whole = await model.generate({ imageFeatures: pictures }, { eosTokenId, numBeams: 1, minLength: 1 });
    const start = whole.sequences.narrow(1, 0, 3);
    const rest = await model.generate({ imageFeatures: pictures, inputIds: start }, { eosTokenId, numBeams: 1, minLength: 1 });
    expect(rest.sequences.toArray()).toEqual(whole.sequences.toArray());
  });

  test('defaults give way to what is told', async () => {
    const lengthOf = async (options: object): Promise<number> =>
      (await model.generate({ imageFeatures: pictures }, { eosTokenId, ...options })).sequences.size(1);
    expect(await lengthOf({ maxNewTokens: 3 })).toBe(4);
    const words = tensor([[96]], { dtype: 'int64' })
      .expand(pictures.size(0), 33)
      .contiguous();
    const long = await model.generate({ imageFeatures: pictures, inputIds: words }, { eosTokenId: null });
    expect(long.sequences.size(1)).toBe(34);
    // A model has room for its positions.
    const full = tensor([[96]], { dtype: 'int64' })
      .expand(pictures.size(0), 40)
      .contiguous();
    await expect(model.generate({ imageFeatures: pictures, inputIds: full }, { eosTokenId })).rejects.toThrow(ArgumentError);
    expect(await lengthOf({ maxLength: 6 })).toBe(6);
    expect(await lengthOf({ minNewTokens: 1, numBeams: 1 })).toBe(7);
    const sampled = await model.generate(
      { imageFeatures: pictures },
      { eosTokenId, doSample: true, numReturnSequences: 2, seed: 1 },
    );
    expect(sampled.sequences.size(0)).toBe(2 * pictures.size(0));
    expect(sampled.sequencesScores).toBeNull();
    await expect(model.generate({ imageFeatures: pictures }, { eosTokenId, minLength: 31 })).rejects.toThrow(ArgumentError);
  });

  test('ends with [SEP] where the vocabulary has it', () => {
    expect(parsePretrainingConfig({}).eosTokenId).toBe(102);
    const small = { qformer_config: { vocab_size: 97 } };
    expect(parsePretrainingConfig(small).eosTokenId).toBeNull();
    expect(pretrainingConfigToJson(parsePretrainingConfig({ ...small, eos_token_id: 2 }))).toMatchObject({ eos_token_id: 2 });
    expect(() => parsePretrainingConfig({ ...small, eos_token_id: 97 })).toThrow(/eos_token_id/);
  });

  test('refuses a prompt of other rows than pictures', async () => {
    const inputIds = tensor([[96]], { dtype: 'int64' });
    await expect(model.generate({ imageFeatures: pictures, inputIds })).rejects.toThrow(/\[8, L\].*inputIds/);
  });

  test('leaves nothing behind, whatever happens', async () => {
    const before = memory().tensors;
    const { sequences, sequencesScores } = await model.generate({ imageFeatures: pictures }, { eosTokenId });
    sequences.dispose();
    sequencesScores?.dispose();
    await expect(model.generate({ imageFeatures: pictures }, { numBeams: 0 })).rejects.toThrow(ArgumentError);
    const abort = new AbortController();
    const running = model.generate({ imageFeatures: pictures }, { signal: abort.signal });
    abort.abort();
    await expect(running).rejects.toThrow('abort');
    expect(memory().tensors).toBe(before);
  });
});
