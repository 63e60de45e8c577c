import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { FileError, preset, type Stage2RecipeOptions, stage1, stage2, warmupCosine } from '../../src/index.ts';
import { splitPoint } from '../../src/recipes/stage2-captions.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-stage2-recipe-'));
afterAll(() => fs.rmSync(root, { recursive: true }));

test('the run of the paper, with OPT', () => {
  const recipe = stage2({ from: stage1({ vision: 'eva-vit-g' }), languageModel: 'opt-2.7b' });
  expect(recipe).toMatchObject({
    vision: { architecture: 'eva', config: { hiddenSize: 1408, imageSize: 224 } },
    languageModel: { modelType: 'opt', hiddenSize: 2560, numHiddenLayers: 32, vocabSize: 50272 },
    languageModelDtype: 'bfloat16',
    languageModelDropout: false,
    model: {
      numQueryTokens: 32,
      languageHiddenSize: 2560,
      visionLayerNormEps: 1e-5,
      qformerConfig: { encoderHiddenSize: 1408, hiddenSize: 768, hiddenDropoutProb: 0.1, useQformerTextInput: false },
    },
    image: { size: 224, crop: { scale: [0.5, 1] }, flip: 0.5 },
    text: { maxLength: 32, prompt: '', end: '\n', split: null },
    steps: 80_000,
    batchSize: 1920,
    optimizer: { betas: [0.9, 0.98], eps: 1e-8, weightDecay: 0.05, decay: 'not-vectors' },
    schedule: { start: 1e-6, peak: 1e-4, floor: 5e-5, warmupSteps: 2000 },
    objective: { labelSmoothing: 0 },
    clipNorm: null,
  });
  const rate = warmupCosine({ ...recipe.schedule, totalSteps: recipe.steps });
  expect([rate(0), rate(2000), rate(80_000)]).toEqual([1e-6, 1e-4, expect.closeTo(5e-5, 12)]);
});

test('and with Flan-T5', () => {
  expect(stage2({ vision: 'clip-vit-l', languageModel: 'flan-t5-xl' })).toMatchObject({
    vision: { architecture: 'clip' },
    languageModel: { modelType: 't5', dModel: 2048, isGatedAct: true, denseActFn: 'gelu' },
    model: { languageHiddenSize: 2048, qformerConfig: { encoderHiddenSize: 1024 } },
    text: { maxLength: 32, prompt: '', end: '', split: { minPrefix: 1, maxPrefix: null, minSuffix: 1 } },
    batchSize: 1520,
  });
  expect(stage2({ vision: 'eva-vit-g', languageModel: 'flan-t5-xxl' }).model.languageHiddenSize).toBe(4096);
  expect(stage2({ vision: 'eva-vit-g', languageModel: 'opt-6.7b' }).model.languageHiddenSize).toBe(4096);
});

test('a run of the first stage says what the second one begins with', () => {
  const shape = { hiddenSize: 16, numAttentionHeads: 2, intermediateSize: 32, numHiddenLayers: 2 };
  const before = stage1({
    vision: { architecture: 'eva', config: { ...shape, imageSize: 28 } },
    visionDtype: 'float32',
    image: { flip: 0, crop: null },
    model: { numQueryTokens: 6, visionLayerNormEps: 1e-6, qformerConfig: shape },
    steps: 2000,
  });
  const folder = path.join(root, 'run/checkpoints/step-00000012');
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'state.json'), JSON.stringify({ format: 1, recipe: before }));
  const expected = stage2({ from: before, languageModel: 'opt-2.7b' });
  expect(expected).toMatchObject({
    visionDtype: 'float32',
    image: { size: 28, flip: 0, crop: null },
    model: { numQueryTokens: 6, visionLayerNormEps: 1e-6, qformerConfig: { hiddenSize: 16, encoderHiddenSize: 16 } },
  });
  for (const from of [folder, path.join(root, 'run')]) expect(stage2({ from, languageModel: 'opt-2.7b' })).toEqual(expected);
  fs.writeFileSync(path.join(folder, 'state.json'), JSON.stringify({ format: 1, recipe: { steps: -1 } }));
  expect(() => stage2({ from: folder, languageModel: 'opt-2.7b' })).toThrow(FileError);
  expect(() => stage2({ from: folder, languageModel: 'opt-2.7b' })).toThrow('is no checkpoint of the first stage');
  expect(() => stage2({ from: path.join(root, 'nowhere'), languageModel: 'opt-2.7b' })).toThrow(FileError);
});

test('a language model is also a folder, or a shape', () => {
  const folder = path.join(root, 'llm');
  fs.mkdirSync(folder);
  const write = (json: object): void => fs.writeFileSync(path.join(folder, 'config.json'), JSON.stringify(json));
  const of = (languageModel: Stage2RecipeOptions['languageModel']) =>
    stage2({ vision: 'eva-vit-g', languageModel }).languageModel;
  write({ model_type: 'opt', hidden_size: 48, word_embed_proj_dim: 48, num_attention_heads: 4 });
  expect(of(folder)).toMatchObject({ modelType: 'opt', hiddenSize: 48, numHiddenLayers: 12 });
  write({ model_type: 't5', d_model: 24, feed_forward_proj: 'gated-gelu' });
  expect(of(folder)).toMatchObject({ modelType: 't5', dModel: 24, denseActFn: 'gelu_new' });
  write({ model_type: 'blip-2', text_config: { model_type: 't5', d_model: 40 } });
  expect(of(folder)).toMatchObject({ modelType: 't5', dModel: 40 });
  write({ model_type: 'llama' });
  expect(() => of(folder)).toThrow(/config\.json.*expected opt or t5 or blip-2 for model_type but received "llama"/);
  expect(() => of(path.join(root, 'opt-2.8b'))).toThrow(FileError);
  expect(of({ modelType: 'opt', hiddenSize: 96, removeFinalLayerNorm: true })).toMatchObject({
    hiddenSize: 96,
    removeFinalLayerNorm: true,
  });
});

test('every field can be set, and a recipe of a file gives itself again', () => {
  const shaped = { modelType: 't5', dModel: 16, numLayers: 1, scaleDecoderOutputs: false } as const;
  const recipes = [
    stage2({ vision: 'clip-vit-l', languageModel: 'opt-2.7b', text: { prompt: 'a photo of' }, image: { crop: null } }),
    stage2({
      vision: { architecture: 'eva', config: { imageSize: 28 } },
      languageModel: shaped,
      languageModelDropout: true,
      model: { visionLayerNormEps: null, numQueryTokens: 4 },
      text: { split: { minPrefix: 0, maxPrefix: 5 }, maxLength: 20 },
      objective: { labelSmoothing: 0.1 },
      steps: 100,
      schedule: { warmupSteps: 10 },
      batchSize: 8,
      accumulation: 2,
    }),
    stage2({ vision: 'eva-vit-g', languageModel: 'flan-t5-xl', text: { split: null } }),
  ];
  expect(recipes[1]?.text).toEqual({ maxLength: 20, prompt: '', end: '', split: { minPrefix: 0, maxPrefix: 5, minSuffix: 1 } });
  for (const recipe of recipes) expect(stage2(JSON.parse(JSON.stringify(recipe)) as Stage2RecipeOptions)).toEqual(recipe);
});

test.each<[object, string]>([
  [
    { languageModel: 7 },
    'expected "opt-2.7b", "opt-6.7b", "flan-t5-xl", "flan-t5-xxl", a folder, or { modelType: "opt" | "t5", … }',
  ],
  [{ languageModel: { modelType: 'opt', hiddenSize: 10 } }, 'for recipe.languageModel.hiddenSize but received 10'],
  [{ languageModel: { modelType: 'opt', hidenSize: 10 } }, 'for recipe.languageModel but received hidenSize'],
  [{ languageModelDtype: 'float16' }, 'expected one of float32, bfloat16 for recipe.languageModelDtype but received "float16"'],
  [{ languageModelDropout: 1 }, 'expected true or false for recipe.languageModelDropout but received 1'],
  [{ vision: undefined }, 'expected a tower, or recipe.from for recipe.vision but received neither'],
  [{ text: { prompt: 3 } }, 'expected text for recipe.text.prompt but received 3'],
  [{ text: { split: { minPrefix: 1 } } }, 'expected null, as the language model has no encoder for recipe.text.split'],
  [{ text: { maxLength: 2017 } }, 'expected from 2 to 2016, the positions that queries leave for recipe.text.maxLength'],
  [{ text: { tokens: 3 } }, 'fields out of maxLength, prompt, end, split for recipe.text but received tokens'],
  [{ languageModel: 'flan-t5-xl', text: { split: { minSuffix: 0 } } }, 'for recipe.text.split.minSuffix but received 0'],
  [{ languageModel: 'flan-t5-xl', text: { split: { minPrefix: 3, maxPrefix: 2 } } }, 'expected at least minPrefix (3) for'],
  [{ model: { languageHiddenSize: 5 } }, "expected 2560, the language model's width for recipe.model.languageHiddenSize"],
  [
    { model: { qformerConfig: { useQformerTextInput: true } } },
    'for recipe.model.qformerConfig.useQformerTextInput but received true',
  ],
  [{ objective: { labelSmoothing: 1 } }, 'for recipe.objective.labelSmoothing but received 1'],
  [{ objective: { weights: {} } }, 'expected fields out of labelSmoothing for recipe.objective but received weights'],
  [{ lr: 1 }, 'text, objective, vision, model, image, languageModel, from for recipe but received lr'],
  [{ schedule: { start: 2e-4 } }, 'for recipe.schedule.start but received 0.0002'],
  [{ schedule: { floor: 2e-4 } }, 'for recipe.schedule.floor but received 0.0002'],
  [{ image: { size: 364 } }, 'for recipe.image.size but received 364'],
])('%j is refused', (options, message) => {
  const given = { vision: 'eva-vit-g', languageModel: 'opt-2.7b', ...options } as Stage2RecipeOptions;
  expect(() => stage2(given)).toThrow(message);
});

test('a caption is divided between its bounds', () => {
  const split = { minPrefix: 1, maxPrefix: null, minSuffix: 1 };
  const seen = (rule: Parameters<typeof splitPoint>[0], words: number): number[] =>
    [...new Set(Array.from({ length: 100 }, (_, i) => splitPoint(rule, words, i / 100)))].sort((a, b) => a - b);
  expect(seen(split, 5)).toEqual([1, 2, 3, 4]);
  expect(seen({ ...split, minPrefix: 0 }, 3)).toEqual([0, 1, 2]);
  expect(seen({ ...split, maxPrefix: 2 }, 9)).toEqual([1, 2]);
  expect(seen({ minPrefix: 3, maxPrefix: null, minSuffix: 2 }, 4)).toEqual([2]);
  expect(seen(split, 1)).toEqual([0]);
  expect(seen(split, 0)).toEqual([0]);
});

test("the names' shapes fit what BLIP-2 has of them", () => {
  for (const name of ['opt-2.7b', 'opt-6.7b', 'flan-t5-xl', 'flan-t5-xxl'] as const) {
    const { vocabSize: _, eosTokenId: __, ...released } = preset(`blip2-${name}`).textConfig;
    expect(stage2({ vision: 'eva-vit-g', languageModel: name }).languageModel).toMatchObject(released);
  }
});
