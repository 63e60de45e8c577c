// Captions and answers of a batch of pictures by `Blip2` with several workers, from bytes of pixels to texts. Settings as in answers.mjs, and
// workers; threads are divided among them. Before the clock runs, the model alone writes the ids, for comparison and as what is counted.
import path from 'node:path';
import { Blip2, Blip2ForConditionalGeneration, Blip2Processor, loadSafetensors } from 'blip2';
import { serve } from './serve.mjs';

await serve(async ({ materials, model: name, batch, words, options, workers, threads }) => {
  const folder = path.join(materials, name);
  const pixels = loadSafetensors(path.join(folder, 'inputs.safetensors')).get('pixel_values').narrow(0, 0, batch);
  const bytes = pixels.mul(52).add(118).round().clamp(0, 255).to('uint8').permute(0, 2, 3, 1).contiguous();
  const pictures = bytes.unbind(0).map((picture) => {
    const [height, width] = picture.shape;
    return { data: new Uint8Array(picture.clone().data()), height, width, channels: 3 };
  });
  const question = (row) => Array.from({ length: 6 + row }, (_, t) => `word${words[0] + ((row * 37 + t * 11) % words[1])}`);
  const questions = words ? pictures.map((_, row) => question(row).join(' ')) : null;

  const processor = Blip2Processor.fromPretrained(folder);
  const model = Blip2ForConditionalGeneration.fromPretrained(folder);
  const inputs = await processor.preprocess({ images: pictures, text: questions ?? pictures.map(() => '') });
  const { sequences } = await model.generate(inputs, options);
  const ids = sequences.toArray().map((row) => row.slice(inputs.inputIds.size(1)));
  model.dispose();

  const share = Math.max(1, Math.floor(threads / workers));
  const blip2 = await Blip2.fromPretrained(folder, { workers: Math.min(workers, threads), threads: share });
  const how = { ...options, batchSize: batch, ...(questions && { template: '{}' }) };
  const write = () => (questions ? blip2.answer(pictures, questions, how) : blip2.caption(pictures, how));
  const texts = await write();
  const run = async (count) => {
    for (let n = 0; n < count; n++) await write();
    return count * ids.flat().length;
  };
  return { run, facts: { ids, texts } };
});
