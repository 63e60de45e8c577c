// node stage1_export.mjs FOLDER CONFIG WEIGHTS: the part of stage1_export.py that is done in TypeScript.
import fs from 'node:fs';
import path from 'node:path';
import * as blip2 from '../../dist/index.js';

const [, , folder, configFile, weights] = process.argv;
const { pretraining, vision } = JSON.parse(fs.readFileSync(configFile, 'utf8'));
const model = new blip2.Blip2ForPretraining(blip2.parsePretrainingConfig(pretraining)).eval();
blip2.loadLavis(model, weights);
const visionModel = new blip2.VisionModel(blip2.parseVisionConfig(vision)).eval();
blip2.noGrad(() => {
  for (const parameter of visionModel.parameters()) blip2.normal_(parameter, 0, 0.1);
});
model.savePretrained(path.join(folder, 'saved'), { visionModel });
blip2.saveLavis(model, path.join(folder, 'lavis.safetensors'));

// What is read back is what was saved.
const again = blip2.Blip2ForPretraining.fromPretrained(path.join(folder, 'saved'));
const own = model.stateDict();
for (const [name, value] of again.stateDict()) {
  if (!value.equal(own.get(name))) throw new Error(`${name} differs`);
}

const io = blip2.loadSafetensors(path.join(folder, 'io.safetensors'));
blip2.inferenceMode(() =>
  blip2.scope(() => {
    const features = visionModel.features(io.get('pixel_values'));
    const { imageEmbeds } = again.encodeImages(features);
    const { textEmbeds } = again.encodeTexts(io.get('input_ids'), io.get('attention_mask'), { classOnly: true });
    const itc = blip2.contrastSimilarity(imageEmbeds, textEmbeds.select(1, 0));
    const itm = again.match({ imageFeatures: features }, io.get('input_ids'), io.get('attention_mask'));
    blip2.saveSafetensors(path.join(folder, 'out.safetensors'), { itc, itm });
  }),
);
