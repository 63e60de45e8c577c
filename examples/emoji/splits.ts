import type { Concept } from './concepts.ts';
import { randomOf, shuffled } from './random.ts';
import { type Colour, colourNames, type Description, type Place, placeNames } from './scene.ts';

/** A concept with a colour or a place that it is never seen with in training. */
export interface Pair {
  readonly concept: Concept;
  readonly what: { readonly colour: Colour } | { readonly place: Place };
}

/** Of concept × colour and of concept × place, this share is kept out for testing, and as much again for validation. */
const SHARE = 0.15;
const SEED = 2301;

/**
 * The pairs kept out for testing (`part` 0) or for validation (1). A concept's pairs do not depend on the concepts that follow it in
 * the list, so what a few concepts keep out, all hundred do.
 */
export function keptOut(concepts: readonly Concept[], part: 0 | 1): Pair[] {
  return concepts.flatMap((concept, i) => {
    const random = randomOf(SEED, i);
    const colour = share(shuffled(random, colourNames), i, part);
    const place = share(shuffled(random, placeNames), i, part);
    return [...colour.map((colour) => ({ concept, what: { colour } })), ...place.map((place) => ({ concept, what: { place } }))];
  });
}

/** The `part`-th slice of some values; the slices of all concepts together come to {@link SHARE} of all their values. */
function share<T>(values: readonly T[], i: number, part: number): T[] {
  const upTo = (concepts: number): number => Math.round(concepts * values.length * SHARE);
  const count = upTo(i + 1) - upTo(i);
  return values.slice(part * count, (part + 1) * count);
}

/** Whether a description holds one of the pairs. */
export function holds(
  pairs: readonly Pair[],
  description: Pick<Description, 'concept'> & Partial<Pick<Description, 'colour' | 'place'>>,
): boolean {
  return pairs.some(
    ({ concept, what }) =>
      concept.word === description.concept &&
      ('colour' in what ? what.colour === description.colour : what.place === description.place),
  );
}
