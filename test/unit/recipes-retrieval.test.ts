import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  cachedGallery,
  evalTransform,
  evaluateRetrieval,
  FeatureCache,
  type GalleryBatch,
  Generator,
  jsonLines,
  memory,
  randn,
  retrievalEvaluation,
  setThreads,
  stage1Trainer,
} from '../../src/index.ts';
import { noise, tinyEncoder, tinyModel, tinyRecipe, tokenizer } from '../support/stage1-run.ts';
import { Notes, weights } from '../support/toy-run.ts';

setThreads(1);

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-retrieval-'));
afterAll(() => fs.rmSync(root, { recursive: true }));

const CAPTIONS = [['a small boat', 'a boat on the lake'], ['two dogs'], ['the red tree', 'under a tree', 'a tree']];

/** Three pictures of noise. */
function* gallery(): Iterable<GalleryBatch> {
  const pixelValues = randn([3, 3, 16, 16], { generator: new Generator(9) });
  yield { pixelValues, allCaptions: CAPTIONS, dispose: () => pixelValues.dispose() };
}

describe('while a first stage is trained', () => {
  async function train(name: string, every: number | null) {
    const recipe = tinyRecipe({ steps: 6 });
    const [model, encoder, notes] = [tinyModel(recipe), tinyEncoder(recipe), new Notes()];
    const evaluation = every === null ? {} : { evaluation: retrievalEvaluation(model, { every, gallery, tokenizer, encoder }) };
    const run = {
      model,
      encoder,
      tokenizer,
      data: noise(recipe),
      directory: path.join(root, name),
      logs: [notes],
      signals: false,
    };
    const result = await stage1Trainer(recipe, { ...run, ...evaluation }).run();
    return { model, encoder, notes, result };
  }

  test('retrieval is logged, chooses the best checkpoint, and leaves training as it would be', async () => {
    const { model, encoder, notes, result } = await train('with', 2);
    expect(notes.evaluations.map(([step]) => step)).toEqual([2, 4, 6]);
    const last = notes.evaluations.at(-1)?.[1];
    model.eval();
    const { metrics } = await evaluateRetrieval(model, gallery(), { tokenizer, encoder });
    expect(last).toEqual(metrics);
    expect(Object.keys(metrics)).toContain('contrastTextToImageRecall10');
    const means = notes.evaluations.map(([, { meanRecall }]) => meanRecall as number);
    const best = Math.max(...means);
    expect(result.best).toEqual({ step: [2, 4, 6][means.indexOf(best)], value: best });
    expect(weights((await train('without', null)).model)).toEqual(weights(model));
  });

  test('another metric may choose, or none', () => {
    const model = tinyModel(tinyRecipe());
    const options = { every: 5, gallery, tokenizer };
    expect(retrievalEvaluation(model, options).best).toEqual({ metric: 'meanRecall', better: 'higher' });
    const other = retrievalEvaluation(model, { ...options, best: 'textToImageRecall1' });
    expect([other.every, other.best?.metric]).toEqual([5, 'textToImageRecall1']);
    expect(retrievalEvaluation(model, { ...options, best: null }).best).toBeUndefined();
  });
});

test('a gallery of cached features is that of the pictures', async () => {
  const photos = path.join(import.meta.dirname, '../fixtures/photos');
  const file = path.join(root, 'captions.jsonl');
  const lines = [
    { image: 'camera.png', captions: ['a small boat!', 'the lake'] },
    { image: 'missing.png', captions: ['nothing'] },
    { image: 'coffee.png', captions: ['two dogs', '  '] },
    { image: 'rocket.jpg', captions: ['the red tree'] },
  ];
  fs.writeFileSync(file, lines.map((line) => `${JSON.stringify({ ...line, image_id: line.image })}\n`).join(''));
  const dataset = await jsonLines(file, { images: photos, grouped: true });
  const recipe = tinyRecipe();
  const [model, encoder] = [tinyModel(recipe).eval(), tinyEncoder(recipe)];
  const cache = await FeatureCache.open({
    directory: path.join(root, 'cache'),
    encoder,
    dataset,
    transform: evalTransform({ size: 16 }),
    workers: 0,
    maxBroken: 1,
  });
  const before = memory().tensors;
  const result = await evaluateRetrieval(model, cachedGallery(dataset, cache, { batchSize: 2 }), { tokenizer });
  expect(result.texts).toEqual(['a small boat', 'the lake', 'two dogs', 'the red tree']);
  expect(result.owners).toEqual([0, 0, 1, 2]);
  expect(result.matched?.imageToText.best(2, 1)[0]).toMatchObject({ matching: expect.any(Number) });
  expect(memory().tensors).toBe(before);
  cache.close();
});
