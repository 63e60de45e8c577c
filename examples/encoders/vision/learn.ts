import { mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { JsonLinesLog, ProgressLog, TensorBoardLog, threads } from 'blip2';
import type { EncoderOptions } from '../options.ts';
import { Stopwatch } from '../stopwatch.ts';
import { readingFigures } from './evaluate.ts';
import { visionRecipe } from './recipe.ts';
import { trainVision } from './train.ts';
import { saveReader } from './weights.ts';

/** Trains the vision tower and writes `vision.safetensors` with, beside it, what made it and what it knows. Gives false where it was stopped. */
export async function learnVision(options: EncoderOptions): Promise<boolean> {
  const { runs, out, steps = visionRecipe.steps, concepts = visionRecipe.concepts, precision, pictures, validation } = options;
  const warmupSteps = Math.min(visionRecipe.schedule.warmupSteps, Math.floor(steps / 10));
  const recipe = { ...visionRecipe, steps, concepts, precision, validation, schedule: { ...visionRecipe.schedule, warmupSteps } };
  const directory = path.join(runs, 'vision');
  await mkdir(directory, { recursive: true });
  console.log(
    `training the vision tower for ${steps} steps of ${recipe.batchSize} pictures on ${threads()} threads, in ${directory}`,
  );
  const watch = new Stopwatch(path.join(directory, 'seconds.json'));
  const { reader, scenes, result } = await trainVision(recipe, {
    directory,
    resume: true,
    logs: [new JsonLinesLog(path.join(directory, 'log.jsonl')), new TensorBoardLog(directory), new ProgressLog(steps), watch],
    logEvery: Math.min(50, steps),
    checkpointEvery: Math.min(1000, Math.ceil(steps / 4)),
  });
  if (result.reason !== 'done') return false;
  const figures = readingFigures(reader.eval(), scenes, pictures);
  for (const [name, share] of Object.entries(figures)) console.log(`${name}: ${share.toFixed(1)} %`);
  await mkdir(out, { recursive: true });
  const file = path.join(out, 'vision.safetensors');
  saveReader(reader, file);
  const about = {
    command: 'npm run demo:encoders -- vision',
    parameters: reader.visionModel.parameterCount(),
    seconds: Math.round(watch.seconds),
    threads: threads(),
    'right, in percent': { pictures, ...figures },
    recipe,
  };
  await writeFile(path.join(out, 'vision.json.partial'), `${JSON.stringify(about, null, 2)}\n`);
  await rename(path.join(out, 'vision.json.partial'), path.join(out, 'vision.json'));
  console.log(`wrote ${file}`);
  reader.dispose();
  return true;
}
