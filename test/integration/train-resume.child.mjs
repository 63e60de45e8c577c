// Trains a tiny first stage on captioned photographs: node train-resume.child.mjs <run folder> <captions.jsonl> <pictures> <steps>
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as b from '../../dist/index.js';

const [directory, captions, images, steps] = process.argv.slice(2);
const shape = { hiddenSize: 16, numAttentionHeads: 2, intermediateSize: 32, numHiddenLayers: 2 };
const recipe = b.stage1({
  vision: { architecture: 'eva', config: { ...shape, imageSize: 32, patchSize: 16, initializerRange: 0.1 } },
  visionDtype: 'float32',
  precision: 'float32',
  model: { numQueryTokens: 4, imageTextHiddenSize: 8, qformerConfig: shape },
  steps: Number(steps),
  batchSize: 8,
  accumulation: 2,
  schedule: { peak: 1e-3, warmupSteps: 3 },
  seed: 5,
});
b.setThreads(1);
const tower = b.building({ generator: new b.Generator(9) }, () => new b.VisionModel(recipe.vision.config));
const dataset = await b.jsonLines(captions, { images });
const data = (state) => {
  const options = { batchSize: b.stage1BatchSize(recipe), transform: recipe.image, seed: recipe.seed, workers: 2, prefetch: 2 };
  const loader = b.loader(dataset, { ...options, ...(state === undefined ? {} : { state }) });
  const next = async () => {
    await sleep(5); // so that a signal finds the run at any point of a step
    return loader.next();
  };
  return { next, state: () => loader.state(), close: () => loader.close() };
};
const result = await b
  .stage1Trainer(recipe, {
    model: b.newStage1Model(recipe),
    encoder: new b.FrozenEncoder(tower, recipe.visionDtype),
    tokenizer: b.Tokenizer.fromPretrained(path.join(import.meta.dirname, '../fixtures/text/bert')),
    data,
    directory,
    resume: true,
    checkpoints: { every: 4 },
    logs: [new b.JsonLinesLog(path.join(directory, 'log.jsonl')), new b.ProgressLog(recipe.steps)],
  })
  .run();
process.stdout.write(JSON.stringify(result));
