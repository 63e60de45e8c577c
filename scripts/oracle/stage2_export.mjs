// node stage2_export.mjs LANGUAGE_MODEL FOLDER: the part of stage2_export.py that is done in TypeScript. Trains a second stage for a moment, exports
// it, and records what it writes about pictures.
import path from 'node:path';
import * as blip2 from '../../dist/index.js';

const [, , languageModelFolder, folder] = process.argv;
blip2.setThreads(1);
const shape = { hiddenSize: 32, numAttentionHeads: 4, intermediateSize: 64, numHiddenLayers: 2 };
const config = blip2.readLanguageConfig(languageModelFolder);
const recipe = blip2.stage2({
  vision: { architecture: 'eva', config: { ...shape, imageSize: 28, patchSize: 7, initializerRange: 0.3 } },
  languageModel: languageModelFolder,
  visionDtype: 'float32',
  languageModelDtype: 'float32',
  precision: 'float32',
  model: { numQueryTokens: 5, initializerRange: 0.2, qformerConfig: shape },
  steps: 60,
  batchSize: 8,
  schedule: { peak: 5e-3, floor: 5e-3, warmupSteps: 5 },
});
const texts = ['a red boat on the lake', 'two dogs', 'a photo of a city at night', 'the house'];
const pictures = blip2.randn([4, 3, 28, 28], { generator: new blip2.Generator(3) });
const pick = (offset) => Array.from({ length: 8 }, (_, i) => (offset + i) % 4);
const data = () => {
  let next = 0;
  return {
    next: async () => {
      const rows = pick(next++);
      const pixelValues = blip2.stack(rows.map((row) => pictures.select(0, row)));
      return { done: false, value: { captions: rows.map((row) => texts[row]), pixelValues } };
    },
    state: () => next,
    close: async () => {},
  };
};
const tower = blip2.building({ generator: new blip2.Generator(2) }, () => new blip2.VisionModel(recipe.vision.config));
const languageModel = blip2.loadLanguageModel(languageModelFolder);
const tokenizer = blip2.Tokenizer.fromPretrained(languageModelFolder);
const trained = blip2.newStage2Model(recipe);
const result = await blip2
  .stage2Trainer(recipe, {
    model: trained,
    languageModel,
    encoder: new blip2.FrozenEncoder(tower),
    tokenizer,
    data,
    directory: path.join(folder, 'run'),
    signals: false,
  })
  .run();
const towerFile = path.join(folder, 'tower.safetensors');
blip2.saveSafetensors(towerFile, tower.stateDict());
const whole = blip2.loadStage2({ checkpoint: result.checkpoint, visionWeights: towerFile, languageModel: languageModelFolder });
blip2.exportStage2(whole, path.join(folder, 'exported'), { maxShardBytes: 60_000 });

const { model, processor } = blip2.assembleStage2(whole);
const tensors = { pixel_values: pictures };
for (const [name, text] of [
  ['plain', undefined],
  ['prompted', ['a photo of', 'the', 'a red', 'two dogs on']],
]) {
  const input = text === undefined ? {} : processor.encode(text, true, { padding: true }).toTensors();
  if (text !== undefined) Object.assign(tensors, { input_ids: input.inputIds, attention_mask: input.attentionMask });
  for (const numBeams of [1, 3]) {
    const { sequences } = await model.generate({ pixelValues: pictures, ...input }, { maxNewTokens: 8, numBeams });
    tensors[`${name}.${numBeams}`] = sequences;
  }
}
blip2.saveSafetensors(path.join(folder, 'io.safetensors'), tensors);
process.stdout.write(`${config.modelType}\n`);
