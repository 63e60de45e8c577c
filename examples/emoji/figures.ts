import { attributes, caption, type Description, parseCaption } from './scene.ts';

/** Shares of captions, in percent: wholly right, and right in each attribute. */
export type Figures = Readonly<Record<'exact' | (typeof attributes)[number], number>>;
export const figureNames = ['exact', ...attributes] as const satisfies readonly (keyof Figures)[];

/** Compares captions that a model gave with what the pictures show. */
export function figuresOf(truths: readonly Description[], given: readonly string[]): Figures {
  if (truths.length === 0 || truths.length !== given.length) {
    throw new RangeError(`expected a caption for each of ${truths.length} (at least one) pictures, got ${given.length}`);
  }
  const share = (right: (truth: Description, text: string) => boolean): number =>
    (100 * truths.filter((truth, i) => right(truth, given[i] ?? '')).length) / truths.length;
  const has = (attribute: keyof Description) => share((truth, text) => parseCaption(text)[attribute] === truth[attribute]);
  return {
    exact: share((truth, text) => text === caption(truth)),
    size: has('size'),
    concept: has('concept'),
    place: has('place'),
    colour: has('colour'),
  };
}
