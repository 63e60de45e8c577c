import type { CaptionedBatch } from 'blip2';
import { fromTypedArray, type OpenData } from 'blip2';
import type { EmojiScenes, Kind } from '../emoji/dataset.ts';
import { PICTURE_BYTES } from '../emoji/draw.ts';
import { normalised } from '../emoji/pictures.ts';
import type { Scene } from '../emoji/scene.ts';

/**
 * Training scenes with their captions, batch by batch and without end; where a stream is, is the number of its next scene. Scenes whose captions
 * are the same have the same id, so that none is a negative of the other.
 */
export function captionedScenes(scenes: EmojiScenes, batchSize: number): OpenData<CaptionedBatch> {
  return (state) => {
    let next = typeof state === 'number' ? state : 0;
    return {
      async next() {
        const { pixels, captions } = scenes.batch('training', next, batchSize);
        next += batchSize;
        const ids = captions.map((caption) => BigInt(captions.indexOf(caption)));
        const imageIds = fromTypedArray(BigInt64Array.from(ids));
        return { done: false, value: { captions, pixelValues: normalised(pixels), imageIds } };
      },
      state: () => next,
      close: async () => {},
    };
  };
}

/** Held-out pictures to search among, and to caption. */
export interface Gallery {
  readonly kind: Kind;
  readonly scenes: readonly Scene[];
  /** All different. */
  readonly captions: readonly string[];
  /** Red, green and blue of every pixel, picture by picture. */
  readonly pixels: Uint8Array;
}

/** The first scenes of a kind whose captions are all different: a caption that came before is passed over, so that each has one picture. */
export function galleryOf(data: EmojiScenes, kind: Kind, count: number): Gallery {
  const scenes: Scene[] = [];
  const captions: string[] = [];
  const pixels = new Uint8Array(count * PICTURE_BYTES);
  for (let index = 0; captions.length < count; index++) {
    const one = data.batch(kind, index, 1);
    const [scene, caption] = [one.scenes[0], one.captions[0]];
    if (scene === undefined || caption === undefined || captions.includes(caption)) continue;
    pixels.set(one.pixels, captions.length * PICTURE_BYTES);
    scenes.push(scene);
    captions.push(caption);
  }
  return { kind, scenes, captions, pixels };
}
