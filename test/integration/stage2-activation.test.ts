import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  Blip2ForPretraining,
  building,
  exportRun,
  FileError,
  Generator,
  parseT5Config,
  type Stage2Settings,
  saveSafetensors,
  setThreads,
  stage1,
  stage2Run,
  T5ForConditionalGeneration,
  Tokenizer,
  t5ConfigToJson,
} from '../../src/index.ts';
import { makeTinyWorld, TOWER } from '../support/tiny-world.ts';

// A plain Flan-T5's config.json means the tanh approximation; LAVIS, and so the recipes by name, run it with the exact gelu.

setThreads(1);

const world = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-activation-'));
const at = (...names: string[]): string => path.join(world, ...names);
afterAll(() => fs.rmSync(world, { recursive: true }));

const vision = { architecture: 'eva', config: TOWER } as const;
const qformerConfig = { hiddenSize: 16, numAttentionHeads: 2, intermediateSize: 32, numHiddenLayers: 2 };
const model = { numQueryTokens: 4, visionLayerNormEps: 1e-6, qformerConfig };
let flan: object;

/** A folder as google/flan-t5 has it, but for what is told. */
function folder(name: string, more: object = {}): string {
  fs.cpSync(path.join(import.meta.dirname, '../fixtures/text/t5'), at(name), { recursive: true });
  fs.writeFileSync(at(name, 'config.json'), JSON.stringify({ ...flan, dense_act_fn: undefined, ...more }));
  const t5 = building({ generator: new Generator(8) }, () => new T5ForConditionalGeneration(parseT5Config(flan)));
  saveSafetensors(at(name, 'model.safetensors'), t5.stateDict());
  t5.dispose();
  return at(name);
}

beforeAll(async () => {
  await makeTinyWorld(world);
  const { vocabSize } = Tokenizer.fromPretrained(path.join(import.meta.dirname, '../fixtures/text/t5'));
  const shape = { vocab_size: vocabSize + 8, d_model: 16, d_kv: 8, d_ff: 24, num_layers: 1, num_heads: 2 };
  flan = t5ConfigToJson(parseT5Config({ ...shape, feed_forward_proj: 'gated-gelu', tie_word_embeddings: false }));
  const recipe = stage1({ vision, model: { ...model, imageTextHiddenSize: 8 } });
  const first = building({ generator: new Generator(5) }, () => new Blip2ForPretraining(recipe.model));
  saveSafetensors(at('first.safetensors'), first.stateDict());
  first.dispose();
});

const settings = (out: string, more: Pick<Stage2Settings, 'languageModel'> & Partial<Stage2Settings>): Stage2Settings => ({
  out: at(out),
  from: at('first.safetensors'),
  data: at('captions.jsonl'),
  images: at('pictures'),
  vision,
  visionWeights: at('tower.safetensors'),
  model,
  languageModelDtype: 'float32',
  visionDtype: 'float32',
  precision: 'float32',
  threads: 1,
  workers: 0,
  batchSize: 4,
  schedule: { warmupSteps: 1, peak: 1e-2 },
  steps: 2,
  ...more,
});

async function train(out: string, more: Pick<Stage2Settings, 'languageModel'> & Partial<Stage2Settings>) {
  const run = await stage2Run(settings(out, more));
  await run.run();
  run.model.dispose();
  exportRun(at(out), at(`${out}-whole`));
  const config = JSON.parse(fs.readFileSync(at(`${out}-whole`, 'config.json'), 'utf8')) as { text_config: object };
  return { weights: fs.readFileSync(at(out, 'checkpoints/step-00000002/model.safetensors')), written: config.text_config };
}

test("a run and its export take the recipe's activation, not the folder's", async () => {
  const plain = folder('plain');
  const lavis = { ...parseT5Config(flan), denseActFn: 'gelu' } as const;
  const told = await train('told', { languageModel: lavis, languageModelWeights: plain });
  const edited = await train('edited', { languageModel: folder('exact', { dense_act_fn: 'gelu' }) });
  const own = await train('own', { languageModel: plain });
  expect([told, edited, own].map(({ written }) => written)).toMatchObject([
    { dense_act_fn: 'gelu' },
    { dense_act_fn: 'gelu' },
    { dense_act_fn: 'gelu_new' },
  ]);
  expect(told.weights.equals(edited.weights)).toBe(true);
  expect(told.weights.equals(own.weights)).toBe(false);
});

test('a folder that is no such model is refused, by the field', async () => {
  const wanted = { ...parseT5Config(flan), scaleDecoderOutputs: true };
  const refused = stage2Run(settings('refused', { languageModel: wanted, languageModelWeights: folder('other') }));
  await expect(refused).rejects.toThrow(FileError);
  await expect(refused).rejects.toThrow('for scaleDecoderOutputs but received false');
});
