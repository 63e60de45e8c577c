import { noGrad, scope } from 'blip2';
import { type EmojiScenes, heldOutKinds } from '../../emoji/dataset.ts';
import { normalised } from '../../emoji/pictures.ts';
import { colourNames, placeNames, sizeNames } from '../../emoji/scene.ts';
import type { SceneReader } from './reader.ts';

const BATCH = 100;

/** Shares of held-out pictures, in percent, whose concept, colour, place and size the reader knows: `new combinations concept` and so on. */
export function readingFigures(reader: SceneReader, scenes: EmojiScenes, pictures: number): Record<string, number> {
  const names = scenes.concepts.map(({ word }) => word);
  const figures: Record<string, number> = {};
  for (const kind of heldOutKinds) {
    const right = { concept: 0, colour: 0, place: 0, size: 0 };
    for (let from = 0; from < pictures; from += BATCH) {
      const batch = scenes.batch(kind, from, Math.min(BATCH, pictures - from));
      const given = noGrad(() =>
        scope(() => {
          const { concept, colour, place, size } = reader.forward(normalised(batch.pixels));
          return [concept, colour, place, size].map((logits) => logits.argmax(1).toArray() as number[]);
        }),
      ) as [number[], number[], number[], number[]];
      for (const [i, scene] of batch.scenes.entries()) {
        if (names[given[0][i] as number] === scene.concept) right.concept += 1;
        if (colourNames[given[1][i] as number] === scene.colour) right.colour += 1;
        if (placeNames[given[2][i] as number] === scene.place) right.place += 1;
        if (sizeNames[given[3][i] as number] === scene.size) right.size += 1;
      }
    }
    for (const [name, count] of Object.entries(right)) figures[`${kind} ${name}`] = (100 * count) / pictures;
  }
  return figures;
}
