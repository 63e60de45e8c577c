import type { Sprite } from './art.ts';
import { type Scene, SIDE, type Tint } from './scene.ts';

/** Bytes of one picture: `SIDE` × `SIDE` pixels of red, green and blue, row by row. */
export const PICTURE_BYTES = SIDE * SIDE * 3;

const UNTINTED: Tint = [1, 0, 0, 0, 1, 0, 0, 0, 1];

/** Draws a scene into `into`, from byte `at` on. */
export function draw(scene: Scene, sprite: Sprite, into: Uint8Array, at = 0): void {
  // Clamped arrays round and clamp what is written to them.
  const picture = new Uint8ClampedArray(into.buffer, into.byteOffset + at, PICTURE_BYTES);
  const ground = Uint8ClampedArray.from(scene.ground);
  picture.set(ground);
  for (let done = 3; done < PICTURE_BYTES; done *= 2) picture.copyWithin(done, 0, done);
  const { width, height, pixels } = sprite;
  const [rr, rg, rb, gr, gg, gb, br, bg, bb] = scene.tint ?? UNTINTED;
  const [red, green, blue] = ground as unknown as [number, number, number];
  const left = inside(scene.x - width / 2, width);
  const top = inside(scene.y - height / 2, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = 4 * (y * width + (scene.mirrored ? width - 1 - x : x));
      const alpha = (pixels[from + 3] as number) / 255;
      if (alpha === 0) continue;
      const r = pixels[from] as number;
      const g = pixels[from + 1] as number;
      const b = pixels[from + 2] as number;
      const to = 3 * ((top + y) * SIDE + left + x);
      picture[to] = red + alpha * (rr * r + rg * g + rb * b - red);
      picture[to + 1] = green + alpha * (gr * r + gg * g + gb * b - green);
      picture[to + 2] = blue + alpha * (br * r + bg * g + bb * b - blue);
    }
  }
}

/** The whole pixel nearest to `start` from which `length` pixels still fit. */
function inside(start: number, length: number): number {
  return Math.max(0, Math.min(SIDE - length, Math.round(start)));
}
