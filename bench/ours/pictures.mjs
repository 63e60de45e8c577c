// A JPEG file to a normalised tensor. Settings: picture, side.
import path from 'node:path';
import { ImageProcessor, scope } from 'blip2';
import { serve } from './serve.mjs';

await serve(async ({ materials, picture, side }) => {
  const file = path.join(materials, picture);
  const processor = new ImageProcessor({ size: { height: side, width: side } });
  const first = await processor.preprocess(file);
  const sum = scope(() => first.to('float64').sum().item());
  const run = async (count) => {
    for (let i = 0; i < count; i++) (await processor.preprocess(file)).dispose();
  };
  return { run, facts: { sum, values: first.numel } };
});
