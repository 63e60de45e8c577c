import { Art } from './art.ts';
import { type ArtSet, artSets, type Concept, heldOutSet } from './concepts.ts';
import { draw, PICTURE_BYTES } from './draw.ts';
import { pick, type Random, randomOf } from './random.ts';
import { anything, caption, compose, type Description, type Scene } from './scene.ts';
import { holds, keptOut, type Pair } from './splits.ts';

/** Pictures to learn from, and the two kinds that are kept from it: pairs never seen together, and a hand never seen. */
export type Kind = 'training' | 'new combinations' | 'unseen style';
export const heldOutKinds = ['new combinations', 'unseen style'] as const satisfies readonly Kind[];

/** The art set that validation keeps out, besides the one that is always kept out. */
const VALIDATION_SET: ArtSet = 'noto-v1';

export interface DatasetOptions {
  /** Seed of the training pictures; 0 unless told. */
  readonly seed?: number;
  /**
   * Keeps further pairs and a further art set out of training, and draws the held-out kinds from those, with seeds of their own: for
   * choosing sizes and rates. What is kept for testing then appears nowhere.
   */
  readonly validation?: boolean;
}

/** Pictures one after the other, 64 × 64 pixels of red, green and blue each, with what they show. */
export interface Batch {
  readonly pixels: Uint8Array;
  readonly scenes: readonly Scene[];
  readonly captions: readonly string[];
}

/** Pictures without end: the picture of a kind, a seed and an index is always the same, so nothing need be stored. */
export class EmojiScenes {
  readonly concepts: readonly Concept[];
  /** The hands that training sees. */
  readonly sets: readonly ArtSet[];
  readonly #art: Art;
  readonly #unseenSet: ArtSet;
  readonly #tested: readonly Pair[];
  readonly #unseen: readonly Pair[];
  readonly #seeds: Readonly<Record<Kind, number>>;

  private constructor(concepts: readonly Concept[], art: Art, { seed = 0, validation = false }: DatasetOptions) {
    this.concepts = concepts;
    this.#art = art;
    this.#unseenSet = validation ? VALIDATION_SET : heldOutSet;
    this.sets = artSets.filter((set) => set !== heldOutSet && set !== this.#unseenSet);
    this.#tested = keptOut(concepts, validation ? 1 : 0);
    this.#unseen = validation ? [...this.#tested, ...keptOut(concepts, 0)] : this.#tested;
    const base = validation ? -20 : -10;
    this.#seeds = { training: seed, 'new combinations': base - 1, 'unseen style': base - 2 };
  }

  /** Rasterises the art that the concepts need. */
  static async load(concepts: readonly Concept[], options: DatasetOptions = {}): Promise<EmojiScenes> {
    return new EmojiScenes(concepts, await Art.load(concepts, artSets), options);
  }

  /** Scenes `from` … `from + count − 1` of a kind. */
  batch(kind: Kind, from: number, count: number): Batch {
    const scenes = Array.from({ length: count }, (_, i) => this.scene(kind, from + i));
    const pixels = new Uint8Array(count * PICTURE_BYTES);
    for (const [i, scene] of scenes.entries()) draw(scene, this.#art.sprite(scene), pixels, i * PICTURE_BYTES);
    return { pixels, scenes, captions: scenes.map(caption) };
  }

  scene(kind: Kind, index: number): Scene {
    const random = randomOf(this.#seeds[kind], index);
    if (kind === 'new combinations') {
      const { concept, what } = pick(random, this.#tested);
      return compose(random, concept, pick(random, this.sets), { ...anything(random), ...what }, false);
    }
    const concept = pick(random, this.concepts);
    const set = kind === 'training' ? pick(random, this.sets) : this.#unseenSet;
    return compose(random, concept, set, this.#seenWith(concept, random), kind === 'training');
  }

  /** Whether a description holds a pair that training never sees. */
  isKeptOut(description: Parameters<typeof holds>[1]): boolean {
    return holds(this.#unseen, description);
  }

  #seenWith(concept: Concept, random: Random): Omit<Description, 'concept'> {
    for (;;) {
      const what = anything(random);
      if (!this.isKeptOut({ ...what, concept: concept.word })) return what;
    }
  }
}
