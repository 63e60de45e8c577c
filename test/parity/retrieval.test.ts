import path from 'node:path';
import {
  Blip2ForImageTextRetrieval,
  evaluateRetrieval,
  type GalleryBatch,
  inferenceMode,
  loadSafetensors,
  openSafetensors,
  Generator as RandomNumbers,
  type Rankings,
  type RetrievalTokenizer,
  randn,
  scope,
  setThreads,
  type Tensor,
  tensor,
} from '../../src/index.ts';
import { buildGolden, type GoldenConfig, golden, readJson } from '../support/stage1.ts';

setThreads(1); // models this small only wait for each other's threads

/** Texts are the numbers of their rows. */
function rowsOf(inputIds: readonly (readonly number[])[], lengths: readonly number[]): RetrievalTokenizer {
  return {
    encode: (texts) => ({
      inputIds: texts.map((text) => inputIds[Number(text)] as readonly number[]),
      attentionMask: texts.map((text) =>
        (inputIds[Number(text)] ?? []).map((_, i) => (i < (lengths[Number(text)] as number) ? 1 : 0)),
      ),
    }),
  };
}

/** A gallery in batches of different sizes. */
function* batches(
  images: Tensor,
  captions: readonly string[][],
  field: 'imageFeatures' | 'pixelValues',
): Generator<GalleryBatch> {
  for (let at = 0, size = 1; at < captions.length; at += size, size += 3) {
    const allCaptions = captions.slice(at, at + size);
    yield { [field]: images.narrow(0, at, allCaptions.length), allCaptions };
  }
}

/** Whether a query's candidates have the scores of a row, and stand in their order. */
function expectRow(rankings: Rankings, query: number, row: readonly number[], k: number): void {
  const matched = rankings.best(query, k);
  for (const { index, score } of matched) expect(Math.abs(score - (row[index] as number))).toBeLessThan(1e-5);
  const expected = row.map((score, index) => ({ score, index })).sort((a, b) => b.score - a.score);
  expect(matched.map(({ index }) => index)).toEqual(expected.slice(0, k).map(({ index }) => index));
  for (const { score } of rankings.best(query).slice(k)) expect(score).toBe(-100);
}

describe("LAVIS's evaluation", () => {
  const folder = golden('stage1-trajectory');
  const { config } = readJson<{ config: GoldenConfig }>(folder, 'trajectory.json');
  const model = buildGolden(config, path.join(folder, 'final_weights.safetensors'));
  const file = golden('stage1-retrieval.safetensors');
  const io = loadSafetensors(file);
  const facts = JSON.parse(openSafetensors(file).metadata.get('facts') as string) as {
    k: number;
    pictures: number;
    owners: number[];
    metrics: Record<string, number>;
  };
  const ids = (io.get('input_ids') as Tensor).toArray() as number[][];
  const tokenizer = rowsOf(
    ids,
    ids.map((row) => row.filter((id) => Number(id) !== 0).length),
  );
  const features = loadSafetensors(path.join(folder, 'batches.safetensors')).get('image_embeds') as Tensor;
  const captions = Array.from({ length: facts.pictures }, (_, i) => [String(2 * i), String(2 * i + 1)]);

  test('scores, ranks and recall', async () => {
    const gallery = batches(features.flatten(0, 1), captions, 'imageFeatures');
    const { matched, metrics, owners } = await evaluateRetrieval(model, gallery, { tokenizer, topK: facts.k, matchBatch: 17 });
    expect(owners).toEqual(facts.owners);
    for (const [rankings, name] of [
      [matched?.imageToText, 'i2t'],
      [matched?.textToImage, 't2i'],
    ] as const) {
      const rows = (io.get(name) as Tensor).toArray() as number[][];
      for (const [query, row] of rows.entries()) expectRow(rankings as Rankings, query, row, facts.k);
    }
    for (const k of [1, 5, 10]) {
      expect(metrics[`imageToTextRecall${k}`]).toBeCloseTo(facts.metrics[`txt_r${k}`] as number, 10);
      expect(metrics[`textToImageRecall${k}`]).toBeCloseTo(facts.metrics[`img_r${k}`] as number, 10);
    }
    expect(metrics.meanRecall).toBeCloseTo(facts.metrics.r_mean as number, 10);
  });

  test('bfloat16, of the products or of what is kept, changes scores a little', async () => {
    const whole = () => batches(features.flatten(0, 1), captions, 'imageFeatures');
    const options = { tokenizer, topK: facts.k };
    const exact = await evaluateRetrieval(model, whole(), options);
    for (const other of [{ precision: 'bfloat16' }, { keepAs: 'bfloat16' }] as const) {
      const rough = await evaluateRetrieval(model, whole(), { ...options, ...other });
      const [a, b] = [exact, rough].map(({ matched }) => matched?.textToImage.best(3, 3) ?? []);
      expect(b).not.toEqual(a);
      for (const { index, matching } of b ?? []) {
        const same = a?.find((match) => match.index === index);
        if (same !== undefined) expect(Math.abs((matching as number) - (same.matching as number))).toBeLessThan(0.05);
      }
    }
  });
});

test("with Hugging Face's retrieval model", async () => {
  const model = Blip2ForImageTextRetrieval.fromPretrained(golden('hf/itm'));
  const { visionConfig, qformerConfig } = model.config;
  const [pictures, texts, k] = [5, 8, 3];
  const { pixels, ids } = scope(() => ({
    pixels: randn([pictures, 3, visionConfig.imageSize, visionConfig.imageSize], { generator: new RandomNumbers(3) }),
    ids: Array.from({ length: texts }, (_, i) =>
      Array.from({ length: 7 }, (_, j) => (j < 3 + (i % 5) ? 1 + ((7 * i + 5 * j + i * j) % (qformerConfig.vocabSize - 1)) : 0)),
    ),
  }));
  const lengths = ids.map((row) => row.filter((id) => id !== 0).length);
  const captions = Array.from({ length: pictures }, (_, i) => [2 * i, 2 * i + 1].filter((text) => text < texts).map(String));
  const { matched, contrast } = await evaluateRetrieval(model, batches(pixels, captions, 'pixelValues'), {
    tokenizer: rowsOf(ids, lengths),
    topK: k,
  });
  const { cosines, scores } = inferenceMode(() => scope(() => everyPair(model, pixels, ids, lengths)));
  const turned = (rows: number[][]): number[][] => (rows[0] ?? []).map((_, j) => rows.map((row) => row[j] as number));
  for (let i = 0; i < pictures; i++) expectRow(contrast.imageToText, i, cosines[i] as number[], texts);
  for (let j = 0; j < texts; j++) expectRow(contrast.textToImage, j, turned(cosines)[j] as number[], pictures);
  const first = (row: number[]): Set<number> =>
    new Set([...row.keys()].sort((a, b) => (row[b] as number) - (row[a] as number)).slice(0, k));
  const only = (rows: number[][], by: number[][]): number[][] =>
    rows.map((row, i) => row.map((score, j) => (first(by[i] as number[]).has(j) ? score : -100)));
  for (const [i, row] of only(scores, cosines).entries()) expectRow(matched?.imageToText as Rankings, i, row, k);
  for (const [j, row] of only(turned(scores), turned(cosines)).entries()) expectRow(matched?.textToImage as Rankings, j, row, k);
});

/** Hugging Face's forward for every pair alone: the cosine, and its sum with the matching head's logit. */
function everyPair(model: Blip2ForImageTextRetrieval, pixels: Tensor, ids: readonly number[][], lengths: readonly number[]) {
  const cosines: number[][] = [];
  const scores: number[][] = [];
  for (let i = 0; i < pixels.size(0); i++) {
    const rows = ids.map((row, j) => {
      const text = tensor([row.slice(0, lengths[j])], { dtype: 'int64' });
      const inputs = { pixelValues: pixels.narrow(0, i, 1), inputIds: text };
      const cosine = model.forward(inputs).logitsPerImage.item();
      const logits = model.forward({ ...inputs, useImageTextMatchingHead: true }).logitsPerImage;
      return [cosine, cosine + logits.select(1, 1).item()] as const;
    });
    cosines.push(rows.map(([cosine]) => cosine));
    scores.push(rows.map(([, score]) => score));
  }
  return { cosines, scores };
}
