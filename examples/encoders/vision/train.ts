import {
  AdamW,
  building,
  decayGroups,
  Generator,
  type OpenData,
  Trainer,
  type TrainerOptions,
  type TrainingResult,
  warmupCosine,
} from 'blip2';
import { concepts } from '../../emoji/concepts.ts';
import type { EmojiScenes } from '../../emoji/dataset.ts';
import { normalised } from '../../emoji/pictures.ts';
import { startTower } from '../start.ts';
import { readingFigures } from './evaluate.ts';
import { ReadingObjective } from './objective.ts';
import { type Labelled, LabelledPictures } from './pictures.ts';
import { SceneReader, towerConfig } from './reader.ts';
import type { VisionTrainingRecipe } from './recipe.ts';

/** Where a run is, and what it tells. */
export interface VisionRunOptions
  extends Pick<TrainerOptions<Labelled>, 'directory' | 'resume' | 'logs' | 'logEvery' | 'signal'> {
  /** Steps from one look at held-out pictures to the next, and how many of each kind; none are looked at unless told. */
  readonly evaluation?: { readonly every: number; readonly pictures: number };
  readonly checkpointEvery?: number;
}

/** Trains the demo's vision tower, or goes on with it. */
export async function trainVision(
  recipe: VisionTrainingRecipe,
  options: VisionRunOptions,
): Promise<{ reader: SceneReader; scenes: EmojiScenes; result: TrainingResult }> {
  const { evaluation, checkpointEvery = 1000, ...run } = options;
  const pictures = await LabelledPictures.load(concepts.slice(0, recipe.concepts), recipe);
  const reader = building({ generator: new Generator(recipe.seed) }, () => new SceneReader(towerConfig(), recipe.concepts));
  startTower(reader.visionModel, normalised(pictures.batch(0, 1024).pixels));
  const { schedule, steps, weightDecay } = recipe;
  const trainer = new Trainer({
    ...run,
    model: reader,
    objective: new ReadingObjective(reader, pictures.ruledOut()),
    data: opened(pictures, recipe.batchSize),
    optimizer: new AdamW(decayGroups(reader.namedParameters(), { weightDecay, decay: 'matrices' }), { betas: [0.9, 0.98] }),
    schedule: warmupCosine({ ...schedule, totalSteps: steps }),
    steps,
    precision: recipe.precision,
    recipe: recipe as unknown as NonNullable<TrainerOptions<Labelled>['recipe']>,
    checkpoints: { every: checkpointEvery, keepLast: 2 },
    ...(evaluation && {
      evaluation: {
        every: evaluation.every,
        run: async () => readingFigures(reader, pictures.scenes, evaluation.pictures),
      },
    }),
  });
  return { reader, scenes: pictures.scenes, result: await trainer.run() };
}

/** Batches one after the other; where they are is the number of the next picture. */
function opened(pictures: LabelledPictures, batchSize: number): OpenData<Labelled> {
  return (state) => {
    let next = typeof state === 'number' ? state : 0;
    return {
      async next() {
        const value = pictures.batch(next, batchSize);
        next += batchSize;
        return { done: false, value };
      },
      state: () => next,
      close: async () => {},
    };
  };
}
