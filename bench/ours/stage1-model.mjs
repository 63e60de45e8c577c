// The first stage as the rows about it run it: model, inputs, a training step. The same as peer/lavis_stage1.py and peer/stage1.py.
import path from 'node:path';
import {
  AdamW,
  arange,
  autocast,
  Blip2ForPretraining,
  building,
  loadLavis,
  loadSafetensors,
  noGrad,
  parsePretrainingConfig,
  parseVisionConfig,
  scope,
  stage1Loss,
  VisionModel,
} from 'blip2';

const widths = { features: 1408, encoder: 768 };
const vit = { hidden_size: 768, intermediate_size: 3072, num_hidden_layers: 12, num_attention_heads: 12 };

const inPrecision = (precision, body) => (precision === 'bfloat16' ? autocast({ dtype: precision }, body) : body());

/** The model, what it learns from, and the vision tower. */
export function load(folder, kind, batch) {
  const model = building({ dtype: 'float32' }, () => {
    return new Blip2ForPretraining(parsePretrainingConfig({ qformer_config: { encoder_hidden_size: widths[kind] } }));
  });
  loadLavis(model, path.join(folder, `${kind}.safetensors`));
  const inputs = new Map();
  for (const [name, rows] of loadSafetensors(path.join(folder, 'inputs.safetensors')))
    inputs.set(name, rows.narrow(0, 0, batch).clone());
  const lengths = inputs.get('attention_mask').sum(1).toArray().map(Number);
  const inputIds = inputs
    .get('input_ids')
    .narrow(1, 0, Math.max(...lengths))
    .clone();
  if (kind === 'features') return { model, texts: { inputIds, lengths }, features: inputs.get('features') };
  const tower = building({ dtype: 'float32' }, () => new VisionModel(parseVisionConfig(vit)));
  // The last LayerNorm is the model's, not the tower's.
  tower.loadStateDict(loadSafetensors(path.join(folder, 'tower.safetensors')), { strict: false });
  return { model, texts: { inputIds, lengths }, tower, pixels: inputs.get('pixel_values') };
}

/** The loss without dropout, where every pair's negatives are the next pair's. */
export function fixedLoss(model, batch, precision) {
  return scope(() => {
    const next = arange(1, batch.lengths.length + 1)
      .remainder(batch.lengths.length)
      .long();
    const options = { negatives: { images: next, texts: next } };
    return noGrad(() => inPrecision(precision, () => stage1Loss(model, batch, options)).loss.item());
  });
}

export function trainer(model, batchOf, precision) {
  const parameters = model.parameters();
  const optimizer = new AdamW(
    [
      { parameters: parameters.filter(({ ndim }) => ndim >= 2), weightDecay: 0.05 },
      { parameters: parameters.filter(({ ndim }) => ndim < 2), weightDecay: 0 },
    ],
    { lr: 1e-5, betas: [0.9, 0.98] },
  );
  return () =>
    scope(() => {
      const batch = batchOf();
      const { loss } = inPrecision(precision, () => stage1Loss(model, batch));
      loss.backward();
      optimizer.step();
      optimizer.zeroGrad();
      return loss.item();
    });
}
