// `npm run demo:captioner`: trains a small BLIP-2 on emoji scenes, end to end, and captions pictures that it has not seen; with --image,
// pictures of your own.

import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Blip2, Blip2Error, Blip2ForConditionalGeneration, building, Generator, type RawImage, threads } from 'blip2';
import { concepts } from '../emoji/concepts.ts';
import { EmojiScenes, heldOutKinds, type Kind } from '../emoji/dataset.ts';
import { PICTURE_BYTES } from '../emoji/draw.ts';
import { figureNames, figuresOf } from '../emoji/figures.ts';
import { SIDE } from '../emoji/scene.ts';
import { makeProcessor, PROMPT, vocabulary } from '../emoji/vocabulary.ts';
import { startTower } from '../encoders/start.ts';
import { Encoder } from './encoder.ts';
import { smallBlip2 } from './model.ts';
import { readOptions } from './options.ts';
import { TrainingBar } from './progress.ts';
import { reportPage } from './report/page.ts';
import type { Report, Result } from './report/result.ts';
import { contactSheet } from './report/sheet.ts';
import { train } from './train.ts';

const options = readOptions(process.argv.slice(2));
const folder = path.join(options.out, 'model');

try {
  await (options.images.length > 0 ? captionImages() : trainAndReport());
} catch (error) {
  if (!(error instanceof Blip2Error)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

async function captionImages(): Promise<void> {
  if (!existsSync(path.join(folder, 'model.safetensors'))) await trainModel(await loadScenes());
  await using blip2 = await Blip2.fromPretrained(folder);
  const captions = await blip2.caption(options.images, { prompt: PROMPT });
  for (const [i, caption] of captions.entries()) console.log(`${options.images[i]}: ${caption}`);
}

async function trainAndReport(): Promise<void> {
  const data = await loadScenes();
  const summary = await trainModel(data);
  await using blip2 = await Blip2.fromPretrained(folder);
  const results: Result[] = [];
  for (const kind of heldOutKinds) results.push(await describe(blip2, data, kind));
  await writeReport({ title: 'What a BLIP-2 says after minutes of training, of pictures kept from it', summary, results });
}

function loadScenes(): Promise<EmojiScenes> {
  console.log(`drawing ${options.concepts} concepts by six hands`);
  return EmojiScenes.load(concepts.slice(0, options.concepts), { seed: options.seed, validation: options.validation });
}

/** Trains a model from nothing and saves it as a Hugging Face checkpoint. */
async function trainModel(data: EmojiScenes): Promise<string> {
  const { batchSize, seed } = options;
  const partial = `${folder}.partial`;
  const config = smallBlip2(vocabulary(data.concepts).length);
  const encoder = new Encoder(await makeProcessor(partial, data.concepts, config.numQueryTokens));
  using model = building({ generator: new Generator(seed) }, () => new Blip2ForConditionalGeneration(config));
  startTower(model.visionModel, encoder.pictures(data.batch('training', 0, 1024).pixels));
  console.log(`training ${(model.parameterCount() / 1e6).toFixed(2)} million parameters with ${threads()} threads`);
  const bar = new TrainingBar(batchSize);
  const { step, seconds } = await train(model, data, encoder, { ...options, onStep: (at) => bar.update(at) });
  bar.stop();
  model.savePretrained(partial);
  await rm(folder, { recursive: true, force: true });
  await rename(partial, folder);
  const cut = step < options.steps ? ` (of ${options.steps}: the time was over)` : '';
  return `${step} steps${cut} of ${batchSize} pictures in ${Math.round(seconds)} s on ${threads()} threads`;
}

/** Captions held-out pictures and counts what is right. */
async function describe(blip2: Blip2, data: EmojiScenes, kind: Kind): Promise<Result> {
  const { pixels, scenes, captions } = data.batch(kind, 0, options.pictures);
  const pictures = scenes.map((_, i): RawImage => {
    return { data: pixels.subarray(i * PICTURE_BYTES, (i + 1) * PICTURE_BYTES), width: SIDE, height: SIDE };
  });
  const given = await blip2.caption(pictures, { prompt: PROMPT, batchSize: 100 });
  const figures = figuresOf(scenes, given);
  const shares = figureNames.map((name) => `${name} ${figures[name].toFixed(1)} %`).join(', ');
  console.log(`${kind}, ${scenes.length} pictures: ${shares}`);
  return { kind, scenes, captions, given, pixels, figures };
}

async function writeReport(report: Report): Promise<void> {
  await mkdir(options.out, { recursive: true });
  const files = { 'captions.png': await contactSheet(report), 'captions.html': await reportPage(report) };
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(options.out, name);
    await writeFile(`${file}.partial`, content);
    await rename(`${file}.partial`, file);
    console.log(`wrote ${file}`);
  }
}
