// Steps of the first stage: forward, backward, AdamW, dropout on. Settings: kind "features" or "encoder", precision, batch.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { FrozenEncoder, noGrad, scope } from 'blip2';
import { serve } from './serve.mjs';
import { fixedLoss, load, trainer } from './stage1-model.mjs';

await serve(({ materials, kind, precision, batch }) => {
  const { model, texts, features, tower, pixels } = load(materials, kind, batch);
  model.eval();
  const plain = () => ({ ...texts, imageFeatures: features ?? noGrad(() => tower.eval().features(pixels)) });
  const facts = { parameters: model.parameterCount(), loss: scope(() => fixedLoss(model, plain(), 'float32')) };
  const encoder = tower && new FrozenEncoder(tower, 'bfloat16');
  const batchOf = () => ({ ...texts, imageFeatures: features ?? encoder.encode(pixels) });
  facts.rounded = precision === 'float32' ? facts.loss : scope(() => fixedLoss(model, batchOf(), precision));
  model.train();
  const step = trainer(model, batchOf, precision);
  const run = async (count) => {
    for (let i = 0; i < count; i++) {
      step();
      await nextTurn(); // as a training loop does, so that it can be stopped
    }
    return count * batch;
  };
  return { run, facts };
});
