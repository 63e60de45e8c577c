// Steps of the second stage: forward, backward, AdamW, the Q-Former's dropout on. Settings: llm "opt" or "t5", precision, batch.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { serve } from './serve.mjs';
import { fixedLoss, load, trainer } from './stage2-model.mjs';

await serve(({ materials, llm, precision, batch }) => {
  const exact = load(materials, llm, batch, 'float32');
  const facts = { parameters: exact.model.parameterCount(), loss: fixedLoss(exact, 'float32') };
  const { model, ...rest } = exact;
  if (precision !== 'float32') rest.languageModel.to(precision);
  facts.rounded = fixedLoss({ model, ...rest }, precision);
  const step = trainer({ model, ...rest }, precision);
  const run = async (count) => {
    for (let i = 0; i < count; i++) {
      step();
      await nextTurn(); // as a training loop does, so that it can be stopped
    }
    return count * batch;
  };
  return { run, facts };
});
