// Captions by beam search, one picture at a time, from pixel values to ids. Settings: model, beams, newTokens.
import path from 'node:path';
import { Blip2ForConditionalGeneration, loadSafetensors, tensor } from 'blip2';
import { serve } from './serve.mjs';

await serve(async ({ materials, model: name, beams, newTokens, check }) => {
  const folder = path.join(materials, name);
  const model = Blip2ForConditionalGeneration.fromPretrained(folder);
  const pixels = loadSafetensors(path.join(folder, 'inputs.safetensors')).get('pixel_values');
  const pictures = Array.from({ length: 8 }, (_, i) => pixels.narrow(0, i, 1).clone());
  const { imageTokenIndex, numQueryTokens, textConfig } = model.config;
  const prompt = [...new Array(numQueryTokens).fill(imageTokenIndex), textConfig.bosTokenId];
  const inputIds = tensor([prompt], { dtype: 'int64' });
  const attentionMask = tensor([prompt.map(() => 1)], { dtype: 'int64' });

  const caption = async (i) => {
    const inputs = { pixelValues: pictures[i], inputIds, attentionMask };
    const { sequences, sequencesScores } = await model.generate(inputs, { numBeams: beams, maxNewTokens: newTokens });
    const ids = Array.from(sequences.data(), Number).slice(prompt.length);
    sequences.dispose();
    sequencesScores?.dispose();
    return ids;
  };
  const run = async (count) => {
    let tokens = 0;
    for (let n = 0; n < count; n++) tokens += (await caption(n % pictures.length)).length;
    return tokens;
  };
  const ids = [];
  for (let i = 0; i < check; i++) ids.push(await caption(i));
  return { run, facts: { ids } };
});
