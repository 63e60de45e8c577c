import path from 'node:path';
import { type EmojiScenes, heldOutKinds } from '../emoji/dataset.ts';
import { keepAblation, keepRun, keptRun, settingsOf } from './ablation-kept.ts';
import { ablationReport } from './ablation-report.ts';
import { type AblationRun, type Look, type Variant, variantsOf } from './ablation-variants.ts';
import type { Ablation, DemoOptions } from './options.ts';
import { type Language, type Told, tell } from './questions.ts';
import { writeReport } from './report.ts';
import { rankingsOf, recallAt1, type Search, search } from './retrieval.ts';
import { galleryOf } from './scenes.ts';
import { recallLine } from './sections/retrieval.ts';
import { toldLine } from './sections/stage2.ts';
import { disposeStage1, trainStage1 } from './stage1.ts';
import { demoStage1 } from './stage1-recipe.ts';
import { trainStage2 } from './stage2.ts';
import { demoStage2 } from './stage2-recipe.ts';

/** How often the second stage is looked at. */
const LOOKS = 6;

/** One of the paper's ablations over several seeds. */
export async function ablate(
  data: EmojiScenes,
  language: Language,
  options: DemoOptions & { ablation: Ablation },
): Promise<void> {
  const runs: AblationRun[] = [];
  for (let seed = options.seed; seed < options.seed + options.seeds; seed++) {
    for (const variant of variantsOf[options.ablation]) runs.push(await run(variant, data, language, { ...options, seed }));
  }
  const report = ablationReport(runs, options);
  await writeReport(options.out, `ablation-${options.ablation}`, report);
  await keepAblation(options.out, options.ablation, report);
}

async function run(variant: Variant, data: EmojiScenes, language: Language, options: DemoOptions): Promise<AblationRun> {
  const { seed, steps, stage2Steps, vision, out, pictures } = options;
  const directory = path.join(out, 'ablation', `${variant.name.replaceAll(' ', '-')}-${seed}`);
  const settings = settingsOf(options, language);
  const kept = keptRun(directory, settings);
  console.log(`seed ${seed}, ${variant.name}${kept === null ? '' : ': as it was run before'}`);
  if (kept !== null) return kept;
  const galleries = heldOutKinds.map((kind) => galleryOf(data, kind, pictures));
  const recipe = demoStage1(data.concepts, { ...options, steps, itg: variant.stage1 !== 'without ITG' });
  const stage1 =
    variant.stage1 === null ? null : await trainStage1(recipe, data, { directory: path.join(directory, 'stage1'), vision });
  const searches: Search[] = [];
  if (stage1 !== null) for (const gallery of galleries) searches.push(await search(stage1, gallery));
  for (const one of searches) console.log(recallLine(one));
  const looks: Look[] = [];
  const look = async (step: number, model: string): Promise<void> => {
    const told: Told[] = [];
    for (const gallery of galleries) told.push(await tell(model, language, gallery, data.concepts));
    if (step === stage2Steps) for (const one of told) console.log(toldLine(one));
    looks.push({ step, told: told.map(({ figures, seeing }) => ({ exactCaptions: figures.exact, rightAnswers: seeing.all })) });
  };
  const start = { stage1: stage1?.checkpoint ?? null, vision, languageModel: language.folder };
  await trainStage2(demoStage2(recipe, language, { ...options, steps: stage2Steps }), data, start, {
    directory: path.join(directory, 'stage2'),
    look: { every: Math.ceil(stage2Steps / LOOKS), at: look },
  });
  if (stage1 !== null) disposeStage1(stage1);
  const curve = (stage1?.curve ?? []).map(({ step, losses }) => ({ step, itc: losses.itc ?? 0, itm: losses.itm ?? 0 }));
  const done: AblationRun = { variant: variant.name, curve, recalls: searches.map(recallsOf), looks };
  await keepRun(directory, settings, done);
  return done;
}

function recallsOf(one: Search): number[] {
  return rankingsOf(one).flatMap(([, { imageToText, textToImage }]) => [recallAt1(imageToText), recallAt1(textToImage)]);
}
