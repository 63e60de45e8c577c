// Trains a tiny second stage on noise: node stage2-resume.child.mjs <run folder> <opt | t5> <steps>
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as b from '../../dist/index.js';

const [directory, kind, steps] = process.argv.slice(2);
b.setThreads(1);
const shape = { hiddenSize: 16, numAttentionHeads: 2, intermediateSize: 32, numHiddenLayers: 2 };
const tokenizer = b.Tokenizer.fromPretrained(path.join(import.meta.dirname, '../fixtures/text', kind));
const language =
  kind === 'opt'
    ? { hiddenSize: 16, wordEmbedProjDim: 16, numHiddenLayers: 1, numAttentionHeads: 2, ffnDim: 24, maxPositionEmbeddings: 40 }
    : { dModel: 16, dKv: 8, dFf: 24, numLayers: 1, numHeads: 2 };
const recipe = b.stage2({
  vision: { architecture: 'eva', config: { ...shape, imageSize: 32, patchSize: 16, initializerRange: 0.1 } },
  languageModel: { modelType: kind, vocabSize: tokenizer.vocabSize, ...language },
  languageModelDropout: true, // one more thing that draws
  visionDtype: 'float32',
  languageModelDtype: 'float32',
  precision: 'float32',
  model: { numQueryTokens: 4, qformerConfig: shape },
  steps: Number(steps),
  batchSize: 8,
  accumulation: 2,
  schedule: { peak: 1e-3, warmupSteps: 3 },
  seed: 5,
});
const drawn = (seed, build) => b.building({ generator: new b.Generator(seed) }, build);
const words = 'a red boat on the green lake and two dogs under an old tree'.split(' ');
const data = (state) => {
  let next = state ?? 0;
  return {
    next: async () => {
      await sleep(5); // so that a signal finds the run at any point of a step
      const number = next++;
      const captions = [0, 1, 2, 3].map((i) =>
        words.slice((number + i) % 9, ((number + i) % 9) + 2 + ((number * i) % 5)).join(' '),
      );
      const pixelValues = b.randn([4, 3, 32, 32], { generator: new b.Generator(number) });
      return { done: false, value: { captions, pixelValues } };
    },
    state: () => next,
    close: async () => {},
  };
};
const result = await b
  .stage2Trainer(recipe, {
    model: b.newStage2Model(recipe),
    languageModel: drawn(8, () =>
      kind === 'opt' ? new b.OptForCausalLM(recipe.languageModel) : new b.T5ForConditionalGeneration(recipe.languageModel),
    ),
    encoder: new b.FrozenEncoder(drawn(9, () => new b.VisionModel(recipe.vision.config))),
    tokenizer,
    data,
    directory,
    resume: true,
    checkpoints: { every: 4 },
    logs: [new b.JsonLinesLog(path.join(directory, 'log.jsonl')), new b.ProgressLog(recipe.steps)],
  })
  .run();
process.stdout.write(JSON.stringify(result));
