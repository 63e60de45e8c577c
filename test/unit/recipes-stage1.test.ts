import { type Stage1RecipeOptions, stage1, stage1WithoutItg, stage2, warmupCosine } from '../../src/index.ts';

test('the run of the paper', () => {
  const recipe = stage1({ vision: 'eva-vit-g' });
  expect(recipe).toMatchObject({
    vision: { architecture: 'eva', config: { hiddenSize: 1408, numHiddenLayers: 39, imageSize: 224, patchSize: 14 } },
    model: {
      numQueryTokens: 32,
      imageTextHiddenSize: 256,
      initialTemperature: 0.07,
      visionLayerNormEps: 1e-5,
      decoderTokenId: 30522,
      qformerConfig: { encoderHiddenSize: 1408, vocabSize: 30523, numHiddenLayers: 12, hiddenSize: 768, hiddenDropoutProb: 0.1 },
    },
    image: { size: 224, crop: { scale: [0.5, 1], ratio: [3 / 4, 4 / 3] }, flip: 0.5 },
    text: { maxLength: 32 },
    steps: 250_000,
    batchSize: 1680,
    optimizer: { betas: [0.9, 0.98], eps: 1e-8, weightDecay: 0.05, decay: 'not-vectors' },
    schedule: { start: 1e-6, peak: 1e-4, floor: 1e-5, warmupSteps: 2000 },
    objective: { weights: { itc: 1, itm: 1, itg: 1 }, labelSmoothing: 0.1, contrastGradient: 'own' },
    clipNorm: null,
  });
  const large = stage1({ vision: 'clip-vit-l' });
  expect(large).toMatchObject({ batchSize: 2320, vision: { architecture: 'clip', config: { hiddenSize: 1024 } } });
  expect(large.model.qformerConfig.encoderHiddenSize).toBe(1024);
});

test('its learning rates', () => {
  const { schedule, steps } = stage1({ vision: 'eva-vit-g' });
  const rate = warmupCosine({ ...schedule, totalSteps: steps });
  expect(rate(0)).toBe(1e-6);
  expect(rate(1000)).toBeCloseTo(5.05e-5, 12);
  expect(rate(2000)).toBeCloseTo(1e-4, 12);
  expect(rate(126_000)).toBeCloseTo(5.5e-5, 12);
  expect(rate(250_000)).toBeCloseTo(1e-5, 12);
});

test('every field can be set, at every depth, and the others stay', () => {
  const recipe = stage1({
    vision: { architecture: 'eva', config: { hiddenSize: 32, numAttentionHeads: 2, imageSize: 64 } },
    batchSize: 64,
    accumulation: 4,
    optimizer: { weightDecay: 0 },
    schedule: { peak: 2e-4 },
    image: { crop: { scale: [0.8, 1] }, flip: 0 },
    objective: { weights: { itm: 0.5 } },
    model: { numQueryTokens: 8, visionLayerNormEps: 1e-6, qformerConfig: { hiddenSize: 48 } },
    clipNorm: 1,
  });
  expect(recipe.optimizer).toEqual({ betas: [0.9, 0.98], eps: 1e-8, weightDecay: 0, decay: 'not-vectors' });
  expect(recipe.schedule).toEqual({ start: 1e-6, peak: 2e-4, floor: 1e-5, warmupSteps: 2000 });
  expect(recipe.image).toMatchObject({ size: 64, crop: { scale: [0.8, 1], ratio: [3 / 4, 4 / 3] }, flip: 0 });
  expect(recipe.objective.weights).toEqual({ itc: 1, itm: 0.5, itg: 1 });
  expect(recipe.model).toMatchObject({ numQueryTokens: 8, visionLayerNormEps: 1e-6 });
  expect(recipe.model.qformerConfig).toMatchObject({ hiddenSize: 48, numHiddenLayers: 12, encoderHiddenSize: 32 });
  expect(stage1({ vision: 'eva-vit-g', image: { crop: null } }).image.crop).toBeNull();
  expect(stage1({ vision: 'eva-vit-g', model: { visionLayerNormEps: null } }).model.visionLayerNormEps).toBeNull();
});

test.each([
  [250_000, 2000],
  [20_000, 2000],
  [5000, 500],
  [100, 10],
  [1, 0],
])('%j steps have a warm-up of %j, unless told', (steps, warmupSteps) => {
  const stages = [stage1({ vision: 'eva-vit-g', steps }), stage2({ vision: 'eva-vit-g', languageModel: 'opt-2.7b', steps })];
  for (const { schedule } of stages) expect(schedule.warmupSteps).toBe(warmupSteps);
  expect(stage1({ vision: 'eva-vit-g', steps, schedule: { warmupSteps: 1 } }).schedule.warmupSteps).toBe(1);
});

test('a recipe of a file gives itself again', () => {
  for (const recipe of [
    stage1({ vision: 'clip-vit-l', image: { crop: null, flip: 0 }, model: { visionLayerNormEps: null }, seed: 7 }),
    stage1WithoutItg({ vision: 'eva-vit-g', steps: 5000, clipNorm: 1 }),
  ]) {
    expect(stage1(JSON.parse(JSON.stringify(recipe)) as Stage1RecipeOptions)).toEqual(recipe);
  }
});

test('colours may have any mean', () => {
  expect(stage1({ vision: 'eva-vit-g', image: { imageMean: [0, -1, 0.5] } }).image.imageMean).toEqual([0, -1, 0.5]);
});

test('without ITG, all else is the same', () => {
  const options = { vision: 'eva-vit-g', objective: { labelSmoothing: 0, weights: { itc: 2 } } } as const;
  const { objective, ...rest } = stage1WithoutItg(options);
  expect(objective).toEqual({ weights: { itc: 2, itm: 1, itg: 0 }, labelSmoothing: 0, contrastGradient: 'own' });
  const { objective: _, ...whole } = stage1(options);
  expect(rest).toEqual(whole);
});

test.each<[object, string]>([
  [
    { vision: 'vit-h' },
    'expected "eva-vit-g", "clip-vit-l" or { architecture: "eva" | "clip", config } for recipe.vision but received "vit-h"',
  ],
  [{ steps: 0 }, 'expected a positive integer for recipe.steps but received 0'],
  [
    { optimizer: { betaz: [0, 0] } },
    'expected fields out of betas, eps, weightDecay, decay for recipe.optimizer but received betaz',
  ],
  [{ optimizer: { betas: [0.9, 1] } }, 'for recipe.optimizer.betas but received an array of 2'],
  [{ optimizer: 3 }, 'expected an object for recipe.optimizer but received 3'],
  [{ lr: 1 }, 'clipNorm, seed, text, objective, vision, model, image for recipe but received lr'],
  [{ schedule: { peak: '1e-4' } }, 'expected a number above 0 for recipe.schedule.peak but received "1e-4"'],
  [{ schedule: { floor: 1 } }, 'expected at most recipe.schedule.peak (0.0001) for recipe.schedule.floor but received 1'],
  [{ schedule: { start: 1 } }, 'expected at most recipe.schedule.peak (0.0001) for recipe.schedule.start but received 1'],
  [
    { steps: 10, schedule: { warmupSteps: 11 } },
    'expected at most recipe.steps (10) for recipe.schedule.warmupSteps but received 11',
  ],
  [{ accumulation: 11 }, 'expected a multiple of recipe.accumulation (11) for recipe.batchSize but received 1680'],
  [{ precision: 'float8' }, 'expected one of float32, bfloat16, float16 for recipe.precision but received "float8"'],
  [{ image: { size: 364 } }, 'expected 224, as the vision tower has it for recipe.image.size but received 364'],
  [{ image: { crops: null } }, 'expected fields out of size, flip, imageMean, imageStd, applyOrientation, crop for recipe.image'],
  [{ image: { imageMean: [0, 0, '0'] } }, 'expected a list of 3, each a number for recipe.image.imageMean'],
  [{ image: { imageStd: [1, 1, 0] } }, 'expected a list of 3, each a number above 0 for recipe.image.imageStd'],
  [{ image: { flip: 2 } }, 'expected a probability for recipe.image.flip but received 2'],
  [
    { image: { crop: { scale: [1, 0.5] } } },
    'expected two numbers above 0 and at most 1, the lesser first for recipe.image.crop.scale but received [1, 0.5]',
  ],
  [{ model: { qformerConfig: { hiddenSize: 100 } } }, 'for recipe.model.qformerConfig.hiddenSize but received 100'],
  [{ model: { qformerConfig: { hidenSize: 100 } } }, 'for recipe.model.qformerConfig but received hidenSize'],
  [{ model: { queries: 3 } }, 'for recipe.model but received queries'],
  [{ model: { numQueryTokens: 0 } }, 'expected a positive integer for recipe.model.numQueryTokens but received 0'],
  [
    { model: { qformerConfig: { encoderHiddenSize: 5 } } },
    "expected 1408, the vision tower's width for recipe.model.qformerConfig.encoderHiddenSize",
  ],
  [{ vision: { architecture: 'eva', config: { patchSize: 0 } } }, 'for recipe.vision.config.patchSize but received 0'],
  [{ objective: { weights: { itc: 0, itm: 0, itg: 0 } } }, 'expected one that is not 0 for recipe.objective.weights'],
  [{ text: { maxLength: 513 } }, 'for recipe.text.maxLength but received 513'],
])('%j is refused', (options, message) => {
  expect(() => stage1({ vision: 'eva-vit-g', ...options } as Stage1RecipeOptions)).toThrow(message);
});
