// Captions and answers by beam search, a batch of pictures at a time, from pixel values to ids. Settings: model, batch, options of
// generating, and words: [least, range] of the ids that the questions are made of, each row's one longer than the last; none for captions.
import path from 'node:path';
import { Blip2ForConditionalGeneration, loadSafetensors, tensor } from 'blip2';
import { serve } from './serve.mjs';

await serve(async ({ materials, model: name, batch, words, options }) => {
  const folder = path.join(materials, name);
  const model = Blip2ForConditionalGeneration.fromPretrained(folder);
  const pixels = loadSafetensors(path.join(folder, 'inputs.safetensors')).get('pixel_values');
  const pixelValues = pixels.narrow(0, 0, batch).clone();
  const { imageTokenIndex, numQueryTokens, textConfig } = model.config;
  const question = (row) => Array.from({ length: 6 + row }, (_, t) => words[0] + ((row * 37 + t * 11) % words[1]));
  const texts = Array.from({ length: batch }, (_, row) => [textConfig.bosTokenId, ...(words ? question(row) : [])]);
  const longest = Math.max(...texts.map(({ length }) => length));
  const queries = new Array(numQueryTokens);
  const rows = (image, padding, of) =>
    tensor(
      texts.map((text) => [...queries.fill(image), ...new Array(longest - text.length).fill(padding), ...text.map(of)]),
      { dtype: 'int64' },
    );
  const inputs = {
    pixelValues,
    inputIds: rows(imageTokenIndex, textConfig.padTokenId, (id) => id),
    attentionMask: rows(1, 0, () => 1),
  };

  const write = async () => {
    const { sequences, sequencesScores } = await model.generate(inputs, options);
    const ids = sequences.toArray().map((row) => row.slice(inputs.inputIds.size(1)));
    sequences.dispose();
    sequencesScores.dispose();
    return ids;
  };
  const run = async (count) => {
    let tokens = 0;
    for (let n = 0; n < count; n++) tokens += (await write()).flat().length;
    return tokens;
  };
  return { run, facts: { ids: await write() } };
});
