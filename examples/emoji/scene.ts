import type { ArtSet, Concept } from './concepts.ts';
import { between, pick, type Random } from './random.ts';

/** Sides of the square picture, and of the square that a small and a large object just fill, in pixels. */
export const SIDE = 64;
export const sizes = { small: 28, large: 40 } as const;
export type Size = keyof typeof sizes;

/** Where an object's middle lies, in pixels, before jitter. */
export const places = {
  'top left': [20, 20],
  'top right': [44, 20],
  'bottom left': [20, 44],
  'bottom right': [44, 44],
  middle: [32, 32],
} as const;
export type Place = keyof typeof places;
const PLACE_JITTER = 3;

/** The grounds' colours (red, green, blue), before jitter. */
export const colours = {
  red: [205, 55, 50],
  orange: [240, 145, 45],
  yellow: [245, 220, 85],
  green: [85, 165, 85],
  blue: [65, 115, 205],
  purple: [130, 80, 170],
  pink: [240, 160, 190],
  grey: [150, 150, 150],
} as const;
export type Colour = keyof typeof colours;
const COLOUR_JITTER = 14;

export const sizeNames = Object.keys(sizes) as Size[];
export const placeNames = Object.keys(places) as Place[];
export const colourNames = Object.keys(colours) as Colour[];

/** What a caption says. */
export interface Description {
  readonly size: Size;
  /** The concept's word. */
  readonly concept: string;
  readonly place: Place;
  readonly colour: Colour;
}
export const attributes = ['size', 'concept', 'place', 'colour'] as const satisfies readonly (keyof Description)[];

/** A matrix of 3 × 3 over red, green and blue, row by row. */
export type Tint = readonly [number, number, number, number, number, number, number, number, number];

/** A picture still to be drawn: what is in it, whose art, and how it varies. */
export interface Scene extends Description {
  readonly icon: string;
  readonly set: ArtSet;
  /** The object's middle, in pixels. */
  readonly x: number;
  readonly y: number;
  /** The ground's red, green and blue, 0–255. */
  readonly ground: readonly [number, number, number];
  readonly mirrored: boolean;
  /** What the object's colours are multiplied by, or null to leave them. */
  readonly tint: Tint | null;
}

/** Fills in all that the caption does not say; `augment` also mirrors and tints the object. */
export function compose(
  random: Random,
  concept: Concept,
  set: ArtSet,
  what: Omit<Description, 'concept'>,
  augment: boolean,
): Scene {
  const [x, y] = places[what.place];
  const [red, green, blue] = colours[what.colour];
  const jitter = (value: number, by: number): number => value + between(random, -by, by);
  return {
    ...what,
    concept: concept.word,
    icon: concept.icon,
    set,
    x: jitter(x, PLACE_JITTER),
    y: jitter(y, PLACE_JITTER),
    ground: [jitter(red, COLOUR_JITTER), jitter(green, COLOUR_JITTER), jitter(blue, COLOUR_JITTER)],
    mirrored: augment && random() < 0.5,
    tint: augment ? tint(random) : null,
  };
}

/** A random turn of the hue, with more or less saturation and brightness. */
function tint(random: Random): Tint {
  const angle = between(random, -0.15, 0.15);
  const saturation = between(random, 0.6, 1.4);
  const brightness = between(random, 0.8, 1.2);
  // A turn about the grey axis mixes the channels by a circulant matrix; saturation then blends between grey and that.
  const entry = (i: number): number => {
    const turned = (1 + 2 * Math.cos(angle + (i * 2 * Math.PI) / 3)) / 3;
    return brightness * (saturation * turned + (1 - saturation) / 3);
  };
  const [a, b, c] = [entry(0), entry(1), entry(2)];
  return [a, c, b, b, a, c, c, b, a];
}

/** `a small sailboat in the top left on a red background`. */
export function caption({ size, concept, place, colour }: Description): string {
  return `${article(size)} ${size} ${concept} in the ${place} on ${article(colour)} ${colour} background`;
}

/** `a`, or `an` before a vowel. */
export function article(word: string): 'a' | 'an' {
  return /^[aeiou]/.test(word) ? 'an' : 'a';
}

/** What a caption says, as far as it says it: the inverse of {@link caption}, and lenient towards captions that a model wrote. */
export function parseCaption(text: string): Partial<Description> {
  const said =
    /^(?:an? (?<size>\S+))?(?: (?<concept>\S+))?.*?(?: in the (?<place>\S+(?: \S+)??))?(?: on an? (?<colour>\S+) background)?$/;
  const { size, concept, place, colour } = said.exec(text.trim())?.groups ?? {};
  return {
    ...(isOne(sizeNames, size) && { size }),
    ...(concept !== undefined && { concept }),
    ...(isOne(placeNames, place) && { place }),
    ...(isOne(colourNames, colour) && { colour }),
  };
}

function isOne<T extends string>(names: readonly T[], value: string | undefined): value is T {
  return names.some((name) => name === value);
}

/** A description with nothing ruled out. */
export function anything(random: Random): Omit<Description, 'concept'> {
  return { size: pick(random, sizeNames), place: pick(random, placeNames), colour: pick(random, colourNames) };
}
