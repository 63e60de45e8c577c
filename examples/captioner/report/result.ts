import type { Figures } from '../../emoji/figures.ts';
import type { Scene } from '../../emoji/scene.ts';

/** Pictures of one held-out kind with the captions that a model gave them. */
export interface Result {
  readonly kind: string;
  readonly scenes: readonly Scene[];
  /** True and given captions. */
  readonly captions: readonly string[];
  readonly given: readonly string[];
  /** 64 × 64 pixels of red, green and blue for each. */
  readonly pixels: Uint8Array;
  readonly figures: Figures;
}

/** What a run says of itself, above the pictures. */
export interface Report {
  readonly title: string;
  readonly summary: string;
  readonly results: readonly Result[];
}

/** One picture to show. */
export interface Sample {
  readonly pixels: Uint8Array;
  readonly caption: string;
  readonly given: string;
}

/** The first pictures of a result, right and wrong as they come; OpenMoji's are left out, since its licence would bind the sheet. */
export function samples(result: Result, count: number): Sample[] {
  const bytes = result.pixels.length / result.scenes.length;
  return result.scenes
    .map((scene, i) => ({
      set: scene.set,
      pixels: result.pixels.subarray(i * bytes, (i + 1) * bytes),
      caption: result.captions[i] ?? '',
      given: result.given[i] ?? '',
    }))
    .filter(({ set }) => set !== 'openmoji')
    .slice(0, count);
}

/** The words of a caption, each with whether the true caption has it. */
export function marked({ caption, given }: Pick<Sample, 'caption' | 'given'>): { word: string; right: boolean }[] {
  const said = new Set(caption.split(' '));
  return given.split(' ').map((word) => ({ word, right: said.has(word) }));
}
