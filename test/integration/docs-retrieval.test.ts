import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadSafetensors, stage1Run } from '../../src/index.ts';
import { linesOfRun } from '../support/docs.ts';
import { makeTinyWorld, tinyStage1Settings } from '../support/tiny-world.ts';

// The examples of docs/retrieval.md run as they stand, one after the other, with a tiny run in place of a real one.

const root = path.join(import.meta.dirname, '../..');
const world = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-docs-'));
afterAll(() => fs.rmSync(world, { recursive: true }));
const at = (...names: string[]): string => path.join(world, ...names);

/** What stands between the examples: what a reader has already. */
const BETWEEN = [
  `const before = { model };`,
  `import { FeatureCache } from 'blip2';
const directory = 'second';
const recipe = { ...openStage1('run').recipe, steps: 3 };
const validation = await cocoCaptions('dataset_coco.json', { images: 'coco', splits: ['val'], grouped: true });
const training = await cocoCaptions('dataset_coco.json', { images: 'coco' });
const data = (state) => loader(training, { batchSize: 6, transform, workers: 0, ...(state && { state }) });
const cache = await FeatureCache.open({ directory: 'cache', encoder, dataset: validation, transform, workers: 0 });`,
  '',
  `import { loadVisionTower } from 'blip2';
model.eval();
const measured = await both.run(2, new AbortController().signal);
cache.close();
const { pixelValues } = (await loader(validation, { batchSize: 2, transform, shuffle: false, epochs: 1, workers: 0 }).next()).value;`,
  `const visionModel = loadVisionTower(recipe.vision, 'tower.safetensors');`,
];
const END = `console.log(JSON.stringify({ metrics, captions, measured, same: again.temp.item() === model.temp.item() }));`;

test('the examples of docs/retrieval.md', async () => {
  await makeTinyWorld(world);
  fs.renameSync(at('karpathy.json'), at('dataset_coco.json'));
  fs.renameSync(at('pictures'), at('coco'));
  const run = await stage1Run({
    ...tinyStage1Settings(world),
    out: at('run'),
    data: at('dataset_coco.json'),
    images: at('coco'),
    schedule: { warmupSteps: 2 },
    steps: 2,
  });
  await run.run();

  const text = fs.readFileSync(path.join(root, 'docs/retrieval.md'), 'utf8');
  const blocks = [...text.matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, code]) => code as string);
  expect(blocks).toHaveLength(BETWEEN.length);
  const whole = blocks.flatMap((block, i) => (i === 0 ? [block, BETWEEN[0]] : [BETWEEN[i], block]));
  const code = [...whole, END].join('\n').replaceAll("from 'blip2'", `from '${pathToFileURL(path.join(root, 'dist/index.js'))}'`);
  const lines = linesOfRun(code, world);
  expect(lines.filter((line) => line.startsWith('pictures '))).toHaveLength(1);
  const { metrics, captions, measured, same } = JSON.parse(lines.at(-1) as string);
  expect(Object.keys(metrics)).toHaveLength(14);
  expect(Object.keys(measured)).toEqual(expect.arrayContaining(['meanRecall', 'bleu4', 'ciderD']));
  expect(JSON.parse(fs.readFileSync(at('evaluation/captions-00000002.json'), 'utf8'))).toHaveLength(3);
  expect(captions).toHaveLength(2);
  expect(captions.every((caption: unknown) => typeof caption === 'string')).toBe(true);
  expect(same).toBe(true);
  const log = fs.readdirSync(at('second', 'checkpoints'));
  expect(log.length).toBeGreaterThan(0);
  expect([...loadSafetensors(at('stage1-lavis.safetensors')).keys()]).toContain('Qformer.cls.predictions.bias');
});
