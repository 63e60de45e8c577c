import fs from 'node:fs';
import {
  ArgumentError,
  Blip2ForImageTextRetrieval,
  Blip2Retrieval,
  ImageProcessor,
  type RetrievalOptions,
  Tokenizer,
} from '../../src/index.ts';
import { inferenceMode, scope } from '../../src/tensor/index.ts';
import { photos, retrievalCheckpoint } from '../support/checkpoints.ts';

const TEXTS = ['a cat', 'a cup of coffee on a table, seen from above', 'a rocket'];
let folder: string;
let retrieval: Blip2Retrieval;

beforeAll(async () => {
  folder = retrievalCheckpoint();
  retrieval = await Blip2Retrieval.fromPretrained(folder, { threads: 1 });
});
afterAll(async () => {
  await retrieval.close();
  fs.rmSync(folder, { recursive: true });
});

test('scores are those of the model, whatever the batches', async () => {
  const model = Blip2ForImageTextRetrieval.fromPretrained(folder);
  using pixelValues = await ImageProcessor.fromPretrained(folder).preprocess(photos);
  const tokens = Tokenizer.fromPretrained(folder).encode(TEXTS, { padding: 'longest' }).toTensors();
  const inputs = { pixelValues, ...tokens };
  const { itc, itm } = inferenceMode(() =>
    scope(() => ({
      itc: model.forward(inputs).logitsPerImage.toArray() as number[][],
      // Pairs (0, 0), (1, 1), (2, 2).
      itm: model.forward({ ...inputs, useImageTextMatchingHead: true }).logitsPerImage.toArray() as [number, number][],
    })),
  );
  for (const batchSize of [16, 2]) {
    const scores = await retrieval.match(photos, TEXTS, { batchSize });
    expect(scores.map((row) => row.length)).toEqual([3, 3, 3]);
    for (const [i, row] of scores.entries()) {
      for (const [t, score] of row.entries()) expect(score.itc).toBeCloseTo(itc[i]?.[t] as number, 5);
      const [no, yes] = itm[i] as [number, number];
      expect(row[i]?.itmLogit).toBeCloseTo(yes, 4);
      expect(row[i]?.itm).toBeCloseTo(1 / (1 + Math.exp(no - yes)), 4);
    }
  }
  model.dispose();
});

test('embeddings have length 1, and their greatest cosine is the score', async () => {
  const images = await retrieval.encodeImages(photos);
  const texts = await retrieval.encodeTexts(TEXTS);
  const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);
  for (const vector of [...images.flat(), ...texts]) expect(dot(vector, vector)).toBeCloseTo(1, 5);
  const scores = await retrieval.match(photos, TEXTS);
  for (const [i, queries] of images.entries()) {
    for (const [t, text] of texts.entries()) {
      expect(Math.max(...queries.map((query) => dot(query, text)))).toBeCloseTo(scores[i]?.[t]?.itc as number, 5);
    }
  }
});

test('a signal stops it, and wrong input is named', async () => {
  const stop = new AbortController();
  const many = Array.from({ length: 400 }, (_, i) => `text number ${i}`);
  const call = retrieval.match(photos, many, { batchSize: 1, signal: stop.signal });
  setTimeout(() => stop.abort(new Error('enough')), 10);
  await expect(call).rejects.toThrow('enough');
  await expect(retrieval.match([], TEXTS)).rejects.toThrow(ArgumentError);
  await expect(retrieval.match(photos, [])).rejects.toThrow('texts');
  for (const [options, argument] of [
    [null, 'options'],
    [{ signal: 'stop' }, 'signal'],
    [{ batch: 2 }, 'batch'],
  ]) {
    const call = retrieval.match(photos, TEXTS, options as RetrievalOptions);
    await expect(call).rejects.toMatchObject({ name: 'ArgumentError', argument });
  }
});
