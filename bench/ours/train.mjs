// Training steps: forward, backward, AdamW, dropout on. Settings: model "demo" or "qformer", batch.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  AdamW,
  Blip2ForConditionalGeneration,
  building,
  loadSafetensors,
  noGrad,
  Parameter,
  parseQFormerConfig,
  QFormerModel,
  scope,
} from 'blip2';
import { serve } from './serve.mjs';

function demo(folder, inputs, batch) {
  const model = Blip2ForConditionalGeneration.fromPretrained(folder);
  const [pixelValues, inputIds, attentionMask, labels] = ['pixel_values', 'input_ids', 'attention_mask', 'labels'].map((name) =>
    inputs.get(name).narrow(0, 0, batch).clone(),
  );
  const lossOf = () => model.forward({ pixelValues, inputIds, attentionMask, labels }).loss;
  return { model, parameters: model.parameters(), lossOf };
}

function qformer(folder, inputs, batch) {
  const config = parseQFormerConfig(JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8')));
  const model = building({ dtype: 'float32' }, () => new QFormerModel(config));
  model.loadStateDict(loadSafetensors(folder));
  const queryEmbeds = new Parameter(inputs.get('query_tokens').clone());
  const encoderHiddenStates = inputs.get('features').narrow(0, 0, batch).clone();
  const lossOf = () => model.forward({ queryEmbeds, encoderHiddenStates }).lastHiddenState.square().mean();
  return { model, parameters: [queryEmbeds, ...model.parameters()], lossOf };
}

await serve(({ materials, model: name, batch }) => {
  const folder = path.join(materials, name);
  const inputs = loadSafetensors(path.join(folder, 'inputs.safetensors'));
  const { model, parameters, lossOf } = (name === 'demo' ? demo : qformer)(folder, inputs, batch);
  model.eval();
  const loss = scope(() => noGrad(() => lossOf().item()));
  model.train();
  const optimizer = new AdamW(
    [
      { parameters: parameters.filter(({ ndim }) => ndim >= 2), weightDecay: 0.05 },
      { parameters: parameters.filter(({ ndim }) => ndim < 2), weightDecay: 0 },
    ],
    { lr: 1e-5, betas: [0.9, 0.98] },
  );
  const run = async (count) => {
    for (let i = 0; i < count; i++) {
      scope(() => {
        const loss = lossOf();
        loss.backward();
        optimizer.step();
        optimizer.zeroGrad();
        return loss.item();
      });
      await nextTurn(); // as a training loop does, so that it can be stopped
    }
  };
  return { run, facts: { loss, parameters: parameters.reduce((sum, { numel }) => sum + numel, 0) } };
});
