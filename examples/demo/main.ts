// `npm run demo`: the paper in small. With --image it captions pictures of your own, with --ablation it repeats one of the paper's ablations.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { Blip2Error, threads } from 'blip2';
import { concepts } from '../emoji/concepts.ts';
import { EmojiScenes } from '../emoji/dataset.ts';
import { imageProcessor } from '../emoji/pictures.ts';
import { VISION_WEIGHTS } from '../encoders/vision/weights.ts';
import { ablate } from './ablation.ts';
import { captionsOf } from './captions.ts';
import { readOptions } from './options.ts';
import { writeReport } from './report.ts';
import { stage1Report } from './sections/stage1.ts';
import { disposeStage1, loadStage1, type TrainedStage1, trainStage1 } from './stage1.ts';
import { demoStage1 } from './stage1-recipe.ts';

const options = readOptions(process.argv.slice(2), VISION_WEIGHTS);
const stage1Folder = path.join(options.out, 'stage1');

try {
  if (options.images.length > 0) await captionImages();
  else if (options.ablation !== null) await ablate(await loadScenes(), options);
  else await trainAndReport();
} catch (error) {
  if (!(error instanceof Blip2Error)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

async function captionImages(): Promise<void> {
  const trained = existsSync(path.join(stage1Folder, 'checkpoints'));
  const stage1 = trained ? loadStage1(stage1Folder, options.vision) : await train(await loadScenes());
  for (const file of options.images) {
    using picture = await imageProcessor.preprocess([file]);
    const [caption] = await captionsOf(stage1, picture);
    console.log(`${file}: ${caption}`);
  }
  disposeStage1(stage1);
}

async function trainAndReport(): Promise<void> {
  const started = performance.now();
  const data = await loadScenes();
  const stage1 = await train(data);
  const part = await stage1Report(stage1, data, options.pictures);
  const seconds = Math.round((performance.now() - started) / 1000);
  const head = {
    title: 'BLIP-2 in small: what a Q-Former learns from captioned scenes in minutes',
    summary: `${data.concepts.length} concepts drawn by ${data.sets.length} hands; ${seconds} s in all on ${threads()} threads. Shown are scenes that were kept from all training.`,
  };
  await writeReport(options.out, 'report', { ...head, sections: part.page }, { ...head, sections: part.sheet });
  disposeStage1(stage1);
}

function loadScenes(): Promise<EmojiScenes> {
  console.log(`drawing ${options.concepts} concepts by six hands`);
  return EmojiScenes.load(concepts.slice(0, options.concepts), { seed: options.seed, validation: options.validation });
}

function train(data: EmojiScenes): Promise<TrainedStage1> {
  console.log(`training the first stage: ${options.steps} steps of ${options.batchSize} pairs on ${threads()} threads`);
  const recipe = demoStage1(data.concepts, { ...options, itg: true });
  return trainStage1(recipe, data, { directory: stage1Folder, vision: options.vision });
}
