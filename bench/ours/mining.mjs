// Hard negatives in both directions. Settings: batch.
import { drawNegatives, Generator, positivesOf, randn, scope } from 'blip2';
import { serve } from './serve.mjs';

await serve(({ batch }) => {
  const generator = new Generator(1);
  const scores = [randn([batch, batch], { generator }), randn([batch, batch], { generator })];
  const { mask } = positivesOf({ offset: 0, count: batch, total: batch, device: 'cpu' });
  const mine = () => scores.map((similarities) => drawNegatives(similarities, mask, generator));
  const run = (count) => {
    for (let i = 0; i < count; i++) scope(() => void mine());
  };
  const chosen = () =>
    scope(() => mine().reduce((sum, columns, i) => sum + scores[i].gather(1, columns.unsqueeze(1)).mean().item() / 2, 0));
  let sum = 0;
  for (let i = 0; i < 20; i++) sum += chosen();
  return { run, facts: { mean: sum / 20 } };
});
