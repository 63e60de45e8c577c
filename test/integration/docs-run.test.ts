import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { stage1Run } from '../../src/index.ts';
import { generativeCheckpoint } from '../support/checkpoints.ts';
import { javascriptOf, linesOfRun, moduleOf, snippetsOf } from '../support/docs.ts';
import { makeLanguageModel, makeTinyWorld, TOWER, tinyStage1Settings, writeQuestions } from '../support/tiny-world.ts';

// The examples of documents run as they stand, on tiny data under the names that they use. What is large in them is small here: the recipes' towers,
// batches and steps.

const root = path.join(import.meta.dirname, '../..');
const world = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-docs-'));
const at = (...names: string[]): string => path.join(world, ...names);
afterAll(() => fs.rmSync(world, { recursive: true }));

const QFORMER = { hiddenSize: 16, intermediateSize: 32, numHiddenLayers: 2, numAttentionHeads: 2 };

/** The package, but for what is too large. */
const SHIM = `import * as blip2 from ${JSON.stringify(pathToFileURL(path.join(root, 'dist/index.js')).href)};
export * from ${JSON.stringify(pathToFileURL(path.join(root, 'dist/index.js')).href)};
const small = { visionDtype: 'float32', precision: 'float32', steps: 2, schedule: { warmupSteps: 1 } };
const bert = blip2.Tokenizer.fromPretrained('bert-base-uncased');
const vision = { architecture: 'eva', config: ${JSON.stringify(TOWER)} };
const model = { numQueryTokens: 4, imageTextHiddenSize: 8, qformerConfig: { ...${JSON.stringify(QFORMER)}, vocabSize: bert.vocabSize + 1 } };
export const stage1 = (options) => blip2.stage1({ ...options, ...small, vision, model, batchSize: 4 });
export const stage2 = (options) =>
  blip2.stage2({ ...options, ...small, languageModel: './opt-2.7b', languageModelDtype: 'float32', batchSize: 4 * options.accumulation });
export const loadVisionTower = (shape, _, options) => blip2.loadVisionTower(shape, 'tower.safetensors', options);
export const loadStage2 = (files, options) => blip2.loadStage2({ ...files, visionWeights: 'tower.safetensors' }, options);
export const loader = (dataset, options) => blip2.loader(dataset, { ...options, workers: 0 });
blip2.setThreads(1);
`;

/** Runs a document's snippets, then `check`, and gives what that printed last. */
function run(file: string, given: string, check: string): unknown {
  const snippets = [...snippetsOf(file), { language: 'ts' as const, code: check }];
  const code = javascriptOf(moduleOf(snippets, './blip2.mjs', given));
  fs.writeFileSync(at('blip2.mjs'), SHIM);
  return JSON.parse(linesOfRun(code, world).at(-1) as string);
}

beforeAll(async () => {
  await makeTinyWorld(world);
  makeLanguageModel(world);
  fs.renameSync(at('opt'), at('opt-2.7b'));
  fs.renameSync(at('bert'), at('bert-base-uncased'));
  for (const folder of ['coco', 'train2017']) fs.cpSync(at('pictures'), at(folder), { recursive: true });
  fs.copyFileSync(at('karpathy.json'), at('dataset_coco.json'));
  fs.mkdirSync(at('annotations'));
  fs.copyFileSync(at('official.json'), at('annotations/captions_train2017.json'));
  fs.mkdirSync(at('cc3m'));
  for (let i = 0; i <= 331; i++) fs.linkSync(at(`tars/shard-${i % 3}.tar`), at('cc3m', `${String(i).padStart(5, '0')}.tar`));
  for (const name of ['beach.jpg', 'city.jpg']) fs.copyFileSync(at('pictures/red-blue.png'), at(name));
  const model = generativeCheckpoint();
  fs.cpSync(model, at('Salesforce/blip2-opt-2.7b'), { recursive: true });
  fs.rmSync(model, { recursive: true });
  fs.mkdirSync(at('val2014'));
  fs.copyFileSync(at('pictures/red-blue.png'), at('val2014/COCO_val2014_000000000005.jpg'));
  const questions = [{ question_id: 1, image_id: 5, question: 'What is it?' }];
  for (const [asked, answered] of [
    ['questions.json', 'annotations.json'],
    ['v2_OpenEnded_mscoco_val2014_questions.json', 'v2_mscoco_val2014_annotations.json'],
  ] as const) {
    writeQuestions(at(asked), at(answered), questions);
  }
});

test('docs/data.md', () => {
  // A mixture goes on for ever.
  const three = `import { loader as whole } from './blip2.mjs';
let seen = 0;
const loader = async function* (dataset, options) {
  for await (const batch of whole(dataset, options)) {
    seen += batch.imageIds.size(0);
    yield batch;
    if (seen >= 2 * 64) return;
  }
};`;
  const ours = javascriptOf(
    moduleOf(snippetsOf('docs/data.md'), './blip2.mjs').replace(/import \{([^}]*)\} from '.\/blip2.mjs'/, (_, names: string) => {
      const others = names.split(', ').filter((name) => name.trim() !== 'loader');
      return `import { ${others.join(', ')} } from './blip2.mjs'`;
    }),
  );
  fs.writeFileSync(at('blip2.mjs'), SHIM);
  const lines = linesOfRun(`${three}\n${ours}\nconsole.log(JSON.stringify({ seen }));`, world);
  expect(lines).toEqual([JSON.stringify({ seen: 128 })]);
});

const GIVEN_TOWER = `import { building, Generator, parseVisionConfig, VisionModel } from 'blip2';
const shape = { hidden_size: 16, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2, image_size: 16, patch_size: 4 };
const tower = building({ generator: new Generator(1) }, () => new VisionModel(parseVisionConfig(shape)));`;

test('docs/training.md', () => {
  const check = `const stream = await data();
const { value } = await stream.next();
console.log(JSON.stringify({ reason, checkpoint, shape: value.imageFeatures.shape, captions: value.captions.length }));
await stream.close();`;
  expect(run('docs/training.md', GIVEN_TOWER, check)).toEqual({
    reason: 'done',
    checkpoint: 'run/checkpoints/step-00000002',
    shape: [4, 17, 16],
    captions: 4,
  });
  expect(fs.readFileSync(at('run/log.jsonl'), 'utf8').trim().split('\n')).toHaveLength(2);
});

test('docs/stage2.md', async () => {
  const first = await stage1Run({
    ...tinyStage1Settings(world),
    out: at('runs/stage1'),
    bert: at('bert-base-uncased'),
    batchSize: 4,
    steps: 1,
  });
  await first.run();
  fs.renameSync(at('runs/stage1/checkpoints/step-00000001'), at('runs/stage1/checkpoints/step-00250000'));
  const check = `const measured = await evaluation.run(5000, new AbortController().signal);
console.log(JSON.stringify({ measured, trained: whole.trained.parameterCount() }));
await writer.dispose();`;
  const { measured, trained } = run('docs/stage2.md', '', check) as { measured: Record<string, number>; trained: number };
  expect(Object.keys(measured)).toEqual(expect.arrayContaining(['bleu4', 'rougeL', 'ciderD', 'vqaAccuracy']));
  expect(trained).toBeGreaterThan(1000);
  expect(fs.readdirSync(at('my-blip2'))).toEqual(expect.arrayContaining(['config.json', 'model.safetensors', 'tokenizer.json']));
  expect(fs.readdirSync(at('runs/stage2/evaluation'))).toEqual(['captions-00005000.json']);
});

test('docs/tasks.md', () => {
  const { metrics, results, answers } = run(
    'docs/tasks.md',
    '',
    `import { readFileSync } from 'node:fs';
const read = (file) => JSON.parse(readFileSync(file, 'utf8'));
console.log(JSON.stringify({ metrics, results: read('results.json'), answers: read('answers.json') }));`,
  ) as { metrics: object; results: object[]; answers: object[] };
  expect(Object.keys(metrics)).toEqual(['accuracy', 'byAnswerType', 'byQuestionType']);
  expect([results.length, answers.length]).toEqual([3, 1]);
});

test('docs/images.md and docs/decoding.md', () => {
  fs.cpSync(at('Salesforce/blip2-opt-2.7b'), at('model'), { recursive: true });
  fs.copyFileSync(at('beach.jpg'), at('cat.jpg'));
  const given = `import { readFileSync } from 'node:fs';
const bytes = readFileSync('cat.jpg');
const imageData = { data: new Uint8Array(2 * 2 * 3), width: 2, height: 2, channels: 3 };`;
  expect(run('docs/images.md', given, 'console.log(JSON.stringify([image.shape, pixelValues.shape]));')).toEqual([
    [3, 24, 24],
    [3, 3, 28, 28],
  ]);
  const model = `import { Blip2ForConditionalGeneration, ones, randn, tensor } from 'blip2';
const model = Blip2ForConditionalGeneration.fromPretrained('Salesforce/blip2-opt-2.7b');
const image = model.config.imageTokenIndex;
const pixelValues = randn([1, 3, 28, 28]);
const inputIds = tensor([[image, image, image, image, 2, 9]], { dtype: 'int64' });
const attentionMask = ones([1, 6], { dtype: 'int64' });
const continuations = [[5, 6], [7]];`;
  const check = 'console.log(JSON.stringify([sequences.size(0), sequencesScores.size(0), scores.length]));';
  expect(run('docs/decoding.md', model, check)).toEqual([1, 1, 2]);
});
