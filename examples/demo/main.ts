// `npm run demo`: the paper in small, both stages. With --image it says what pictures of your own show, or answers with --ask; with --ablation it
// repeats one of the paper's ablations.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { Blip2, Blip2Error, threads } from 'blip2';
import { concepts } from '../emoji/concepts.ts';
import { EmojiScenes } from '../emoji/dataset.ts';
import { VISION_WEIGHTS } from '../encoders/vision/weights.ts';
import { CAPTION_PROMPT } from '../language/texts.ts';
import { ablate } from './ablation.ts';
import { keptAblations } from './ablation-kept.ts';
import { readOptions } from './options.ts';
import type { Language } from './questions.ts';
import { writeReport } from './report.ts';
import { stage1Report } from './sections/stage1.ts';
import { stage2Report } from './sections/stage2.ts';
import { disposeStage1, type TrainedStage1, trainStage1 } from './stage1.ts';
import { demoStage1 } from './stage1-recipe.ts';
import { type TrainedStage2, trainStage2 } from './stage2.ts';
import { demoStage2 } from './stage2-recipe.ts';

const options = readOptions(process.argv.slice(2), VISION_WEIGHTS);
const language: Language = { kind: options.llm, folder: path.join(path.dirname(VISION_WEIGHTS), options.llm) };
const { ablation } = options;
const stage2Folder = path.join(options.out, `stage2-${options.llm}`);

try {
  if (options.images.length > 0) await lookAt(options.images);
  else if (ablation !== null) await ablate(await loadScenes(), language, { ...options, ablation });
  else await trainAndReport();
} catch (error) {
  if (!(error instanceof Blip2Error)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

/** Captions pictures, or asks about them. */
async function lookAt(images: readonly string[]): Promise<void> {
  const model = path.join(stage2Folder, 'model');
  if (!existsSync(model)) {
    const data = await loadScenes();
    const stage1 = await trainFirst(data);
    await trainSecond(data, stage1);
    disposeStage1(stage1);
  }
  await using blip2 = await Blip2.fromPretrained(model);
  const { ask } = options;
  const said = ask === null ? await blip2.caption(images, { prompt: CAPTION_PROMPT }) : await blip2.answer(images, ask);
  for (const [i, text] of said.entries()) console.log(`${images[i]}: ${text}`);
}

async function trainAndReport(): Promise<void> {
  const started = performance.now();
  const data = await loadScenes();
  const stage1 = await trainFirst(data);
  const first = await stage1Report(stage1, data, options.pictures);
  const stage2 = await trainSecond(data, stage1);
  const second = await stage2Report(stage2, language, data, options.pictures);
  disposeStage1(stage1);
  const seconds = Math.round((performance.now() - started) / 1000);
  const head = {
    title: 'BLIP-2 in small: both stages, from captioned scenes, in minutes',
    summary: `${data.concepts.length} concepts drawn by ${data.sets.length} hands; ${seconds} s in all on ${threads()} threads. Shown are scenes that were kept from all training.`,
  };
  const page = { ...head, sections: [...first.page, ...second.page, ...keptAblations(options.out)] };
  await writeReport(options.out, 'report', page, {
    ...head,
    sections: [...first.sheet, ...second.sheet, ...keptAblations(options.out)],
  });
}

function loadScenes(): Promise<EmojiScenes> {
  console.log(`drawing ${options.concepts} concepts by six hands`);
  return EmojiScenes.load(concepts.slice(0, options.concepts), { seed: options.seed, validation: options.validation });
}

function trainFirst(data: EmojiScenes): Promise<TrainedStage1> {
  console.log(`training the first stage: ${options.steps} steps of ${options.batchSize} pairs on ${threads()} threads`);
  const recipe = demoStage1(data.concepts, { ...options, itg: true });
  return trainStage1(recipe, data, { directory: path.join(options.out, 'stage1'), vision: options.vision });
}

function trainSecond(data: EmojiScenes, { recipe, checkpoint }: TrainedStage1): Promise<TrainedStage2> {
  const { stage2Steps: steps, vision } = options;
  console.log(`training the second stage: ${steps} steps of ${options.batchSize} pictures over a frozen ${language.kind}`);
  const second = demoStage2(recipe, language, { ...options, steps });
  const start = { stage1: checkpoint, vision, languageModel: language.folder };
  return trainStage2(second, data, start, { directory: stage2Folder });
}
