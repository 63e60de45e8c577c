// WebDataset tars to training batches. Settings: batch, side, buffer.
import path from 'node:path';
import { loader, scope, trainTransform, webDataset } from 'blip2';
import { serve } from './serve.mjs';

await serve(async ({ materials, batch, side, buffer }) => {
  const dataset = await webDataset(path.join(materials, 'shards'), { buffer });
  const batches = loader(dataset, { batchSize: batch, transform: trainTransform({ size: side }), workers: 0, seed: 1 });
  let sum = 0;
  let values = 0;
  const next = async (add) => {
    const { value } = await batches.next();
    if (add) sum += scope(() => value.pixelValues.to('float64').sum().item());
    if (add) values += value.pixelValues.numel;
    value.dispose();
  };
  for (let i = 0; i < 8; i++) await next(true);
  const run = async (count) => {
    for (let i = 0; i < count; i++) await next(false);
    return count * batch;
  };
  return { run, facts: { mean: sum / values, values } };
});
