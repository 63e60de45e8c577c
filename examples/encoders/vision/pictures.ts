import { Art } from '../../emoji/art.ts';
import type { Concept } from '../../emoji/concepts.ts';
import { EmojiScenes } from '../../emoji/dataset.ts';
import { PICTURE_BYTES } from '../../emoji/draw.ts';
import { between, pick, type Random, randomOf, shuffled } from '../../emoji/random.ts';
import {
  type Colour,
  colourNames,
  colours,
  type Place,
  placeNames,
  places,
  type Scene,
  SIDE,
  sizeNames,
  sizes,
} from '../../emoji/scene.ts';
import { drawWarped, type WarpedObject } from '../../emoji/warp.ts';
import { type Augmentation, paint, warp } from './augment.ts';

/** Side of the squares that the encoder sees, in pixels, and how many a picture has. */
export const PATCH = 16;
export const PATCHES = (SIDE / PATCH) ** 2;

/** What is not asked of a picture. */
export const UNASKED = -100;

/** A square that is covered by less than the first share is ground, and one by more than the second is of the object. */
const GROUND = 0.02;
const COVERED = 0.15;

/** Sides that drawings are rasterised at: an object is drawn from the next larger one. */
const SIDES = [28, 34, 40, 48];

/** Pictures with what they show, as numbers; {@link UNASKED} where that is not asked. */
export interface Labelled {
  /** Red, green and blue of every pixel. */
  readonly pixels: Uint8Array;
  /** The concept of each patch, or the number of concepts for ground: `B × PATCHES`. */
  readonly patches: BigInt64Array;
  /** Where what is on each patch is: a row of {@link LabelledPictures.ruledOut}. */
  readonly patchContexts: BigInt64Array;
  /** One each for every picture. */
  readonly context: BigInt64Array;
  readonly concept: BigInt64Array;
  readonly colour: BigInt64Array;
  readonly place: BigInt64Array;
  readonly size: BigInt64Array;
}

export interface PicturesOptions {
  readonly seed: number;
  /** As in the data set: keep out what validation needs, too. */
  readonly validation: boolean;
  readonly augmentation: Augmentation;
  /** The share of pictures that are no scenes: one to four objects anywhere, on a ground of any colour. */
  readonly loose: number;
  /** Objects in those at most. */
  readonly objects: number;
}

/** Pictures without end for the vision encoder to learn from. Nothing that the data set keeps out is in them. */
export class LabelledPictures {
  readonly scenes: EmojiScenes;
  readonly #art: Art;
  readonly #options: PicturesOptions;

  private constructor(scenes: EmojiScenes, art: Art, options: PicturesOptions) {
    this.scenes = scenes;
    this.#art = art;
    this.#options = options;
  }

  static async load(concepts: readonly Concept[], options: PicturesOptions): Promise<LabelledPictures> {
    const scenes = await EmojiScenes.load(concepts, options);
    return new LabelledPictures(scenes, await Art.load(concepts, scenes.sets, SIDES), options);
  }

  /** Pictures `from` … `from + count − 1`. */
  batch(from: number, count: number): Labelled {
    const asked = (each: number): BigInt64Array => new BigInt64Array(count * each).fill(BigInt(UNASKED));
    const labelled: Labelled = {
      pixels: new Uint8Array(count * PICTURE_BYTES),
      patches: asked(PATCHES),
      patchContexts: asked(PATCHES),
      context: asked(1),
      concept: asked(1),
      colour: asked(1),
      place: asked(1),
      size: asked(1),
    };
    for (let i = 0; i < count; i++) this.#draw(from + i, labelled, i);
    return labelled;
  }

  #draw(index: number, labelled: Labelled, row: number): void {
    const random = randomOf(this.#options.seed + 2 ** 20, index);
    if (random() < this.#options.loose) this.#drawLoose(random, labelled, row);
    else this.#drawScene(this.scenes.scene('training', index), random, labelled, row);
  }

  #drawScene(scene: Scene, random: Random, labelled: Labelled, row: number): void {
    const side = sizes[scene.size];
    const inside = (at: number): number => Math.max(side / 2, Math.min(SIDE - side / 2, at));
    const concept = this.#conceptOf(scene.concept);
    const covered = new Float32Array(PATCHES);
    const picture = grounded(labelled, row, scene.ground);
    drawWarped(this.#object(random, concept, side, inside(scene.x), inside(scene.y), scene.set), picture, PATCH, covered);
    this.#label(labelled, row, [{ concept, covered, place: scene.place }], scene.colour);
    labelled.concept[row] = BigInt(concept);
    labelled.colour[row] = BigInt(colourNames.indexOf(scene.colour));
    labelled.place[row] = BigInt(placeNames.indexOf(scene.place));
    labelled.size[row] = BigInt(sizeNames.indexOf(scene.size));
  }

  /** Objects that do not meet, each where and on what it may be seen. */
  #drawLoose(random: Random, labelled: Labelled, row: number): void {
    const ground = [0, 0, 0].map(() => between(random, 25, 250));
    const colour = nearest(colourNames, colours, ground);
    const wanted = 1 + Math.floor(random() * this.#options.objects);
    const picture = grounded(labelled, row, ground);
    const placed: { x: number; y: number; side: number }[] = [];
    const drawn: Drawn[] = [];
    for (let tries = 0; drawn.length < wanted && tries < 12; tries++) {
      const side = wanted > 2 ? between(random, 22, 32) : between(random, 24, 44);
      const x = between(random, side / 2, SIDE - side / 2);
      const y = between(random, side / 2, SIDE - side / 2);
      const concept = Math.floor(random() * this.scenes.concepts.length);
      const place = nearest(placeNames, places, [x, y]);
      const { word } = this.scenes.concepts[concept] as Concept;
      const meets = placed.some((other) => {
        return Math.max(Math.abs(other.x - x), Math.abs(other.y - y)) < 0.9 * ((other.side + side) / 2);
      });
      if (meets || this.scenes.isKeptOut({ concept: word, colour, place })) continue;
      placed.push({ x, y, side });
      const covered = new Float32Array(PATCHES);
      drawWarped(this.#object(random, concept, side, x, y), picture, PATCH, covered);
      drawn.push({ concept, covered, place });
    }
    this.#label(labelled, row, drawn, colour);
    const [only] = drawn;
    if (drawn.length === 1 && only !== undefined) labelled.concept[row] = BigInt(only.concept);
  }

  #object(
    random: Random,
    concept: number,
    side: number,
    x: number,
    y: number,
    hand = pick(random, this.scenes.sets),
  ): WarpedObject {
    const { augmentation } = this.#options;
    const { icon } = this.scenes.concepts[concept] as Concept;
    const raster = SIDES.find((each) => each >= side - 1) ?? (SIDES.at(-1) as number);
    const sprite = this.#art.drawing(hand, icon, raster);
    const other = this.#art.drawing(pick(random, this.scenes.sets), icon, raster);
    const matrix = warp(random, raster / side, augmentation);
    return {
      sprite,
      x,
      y,
      matrix,
      paint: paint(random, sprite, other, augmentation),
      hidden: random() < augmentation.hide ? hiddenPart(random, x, y, side) : null,
    };
  }

  #label({ patches, patchContexts, context }: Labelled, row: number, drawn: readonly Drawn[], colour: Colour): void {
    const [only = null, ...others] = drawn;
    const alone = others.length > 0 ? null : only;
    context[row] = BigInt(contextOf(colour, alone?.place));
    for (let patch = 0; patch < PATCHES; patch++) {
      const share = (one: Drawn | null): number => (one?.covered[patch] ?? 0) / PATCH ** 2;
      const most = drawn.reduce<Drawn | null>((best, one) => (share(one) > share(best) ? one : best), null);
      const seen = share(most) < GROUND ? null : most;
      const label = seen === null ? this.scenes.concepts.length : share(seen) > COVERED ? seen.concept : UNASKED;
      patches[row * PATCHES + patch] = BigInt(label);
      patchContexts[row * PATCHES + patch] = BigInt(contextOf(colour, (seen ?? alone)?.place));
    }
  }

  /**
   * For each ground's colour and place (or none), one after the other, the concepts that training never shows there: 1, else 0. One column
   * more, for ground, is 0.
   */
  ruledOut(): number[][] {
    const at = [...placeNames, undefined];
    return colourNames.flatMap((colour) =>
      at.map((place) => [
        ...this.scenes.concepts.map(({ word }) =>
          Number(this.scenes.isKeptOut({ concept: word, colour, ...(place && { place }) })),
        ),
        0,
      ]),
    );
  }

  #conceptOf(word: string): number {
    return this.scenes.concepts.findIndex((concept) => concept.word === word);
  }
}

interface Drawn {
  readonly concept: number;
  readonly covered: Float32Array;
  readonly place: Place;
}

/** The row of {@link LabelledPictures.ruledOut}. */
function contextOf(colour: Colour, place: Place | undefined): number {
  const at = place === undefined ? placeNames.length : placeNames.indexOf(place);
  return colourNames.indexOf(colour) * (placeNames.length + 1) + at;
}

/** A row's picture, filled with one colour. */
function grounded({ pixels }: Labelled, row: number, ground: readonly number[]): Uint8ClampedArray {
  const picture = new Uint8ClampedArray(pixels.buffer, pixels.byteOffset + row * PICTURE_BYTES, PICTURE_BYTES);
  picture.set(ground);
  for (let done = 3; done < PICTURE_BYTES; done *= 2) picture.copyWithin(done, 0, done);
  return picture;
}

/** A band of up to a third of the object, from one of its sides. */
function hiddenPart(random: Random, x: number, y: number, side: number): [number, number, number, number] {
  const [left, top, right, bottom] = [x - side / 2, y - side / 2, x + side / 2, y + side / 2];
  const part = side * between(random, 0.1, 0.35);
  const [band] = shuffled(random, [
    [left, top, left + part, bottom],
    [right - part, top, right, bottom],
    [left, top, right, top + part],
    [left, bottom - part, right, bottom],
  ] as [number, number, number, number][]);
  return band as [number, number, number, number];
}

function nearest<T extends string>(
  names: readonly T[],
  points: Readonly<Record<T, readonly number[]>>,
  to: readonly number[],
): T {
  const distance = (name: T): number => points[name].reduce((sum, value, i) => sum + (value - (to[i] as number)) ** 2, 0);
  return names.reduce((best, name) => (distance(name) < distance(best) ? name : best));
}
