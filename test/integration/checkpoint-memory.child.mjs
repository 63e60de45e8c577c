// save FOLDER: writes a checkpoint of a gigabyte. load FOLDER DTYPE: reads it and measures. Prints JSON.
import fs from 'node:fs';
import { Blip2ForConditionalGeneration, blip2Config, building, noGrad, ones, scope, zeros } from '../../dist/index.js';

const [, , mode, folder, dtype] = process.argv;

const bytesOf = (model) =>
  model.parameters().reduce((sum, parameter) => sum + parameter.numel * (parameter.dtype === 'float32' ? 4 : 2), 0);

/** A line of /proc/self/status in bytes. */
function status(name) {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
}

if (mode === 'save') {
  const config = blip2Config({
    visionConfig: { hiddenSize: 64, intermediateSize: 64, numAttentionHeads: 1, numHiddenLayers: 1, imageSize: 28 },
    qformerConfig: { hiddenSize: 64, intermediateSize: 64, numAttentionHeads: 1, numHiddenLayers: 1 },
    textConfig: { vocabSize: 50304, hiddenSize: 1536, numHiddenLayers: 7, numAttentionHeads: 16, ffnDim: 6144 },
    imageTokenIndex: 50265,
  });
  const model = building({ device: 'meta' }, () => new Blip2ForConditionalGeneration(config));
  scope(() =>
    noGrad(() => {
      for (const parameter of model.parameters()) parameter.setData(zeros(parameter.shape).fill_(0.5));
    }),
  );
  model.savePretrained(folder);
  console.log(JSON.stringify({ bytes: bytesOf(model) }));
} else {
  scope(() =>
    ones([64, 64])
      .matmul(ones([64, 64]))
      .sum()
      .item(),
  ); // libtorch is there and its thread pool too
  fs.writeFileSync('/proc/self/clear_refs', '5'); // the peak counts from here
  const before = status('VmRSS');
  const model = Blip2ForConditionalGeneration.fromPretrained(folder, { dtype });
  const peak = status('VmHWM') - before;
  const sum = scope(() => {
    const means = model.parameters().map((parameter) => parameter.amax(parameter.shape.map((_, i) => i)).item());
    return means.reduce((a, b) => a + b, 0) / means.length;
  });
  console.log(JSON.stringify({ weights: bytesOf(model), peak, sum }));
}
