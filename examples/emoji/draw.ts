import type { Sprite } from './art.ts';
import { type Scene, SIDE } from './scene.ts';

/** Bytes of one picture: `SIDE` × `SIDE` pixels of red, green and blue, row by row. */
export const PICTURE_BYTES = SIDE * SIDE * 3;

/** Draws a scene into `into`, from byte `at` on. */
export function draw(scene: Scene, sprite: Sprite, into: Uint8Array, at = 0): void {
  const [red, green, blue] = scene.ground.map((value) => Math.round(Math.min(255, Math.max(0, value)))) as [
    number,
    number,
    number,
  ];
  for (let i = at; i < at + PICTURE_BYTES; i += 3) {
    into[i] = red;
    into[i + 1] = green;
    into[i + 2] = blue;
  }
  const { width, height } = sprite;
  const pixels = scene.tint === null ? sprite.pixels : tinted(sprite.pixels, scene.tint);
  const left = inside(scene.x - width / 2, width);
  const top = inside(scene.y - height / 2, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = 4 * (y * width + (scene.mirrored ? width - 1 - x : x));
      const alpha = (pixels[from + 3] as number) / 255;
      if (alpha === 0) continue;
      const to = at + 3 * ((top + y) * SIDE + left + x);
      for (let c = 0; c < 3; c++) {
        const below = into[to + c] as number;
        into[to + c] = Math.round(below + alpha * ((pixels[from + c] as number) - below));
      }
    }
  }
}

/** The whole pixel nearest to `start` from which `length` pixels still fit. */
function inside(start: number, length: number): number {
  return Math.max(0, Math.min(SIDE - length, Math.round(start)));
}

function tinted(pixels: Uint8Array, tint: readonly number[]): Uint8ClampedArray {
  const [rr, rg, rb, gr, gg, gb, br, bg, bb] = tint as [number, number, number, number, number, number, number, number, number];
  const out = new Uint8ClampedArray(pixels.length);
  for (let i = 0; i < pixels.length; i += 4) {
    const r = pixels[i] as number;
    const g = pixels[i + 1] as number;
    const b = pixels[i + 2] as number;
    out[i] = rr * r + rg * g + rb * b;
    out[i + 1] = gr * r + gg * g + gb * b;
    out[i + 2] = br * r + bg * g + bb * b;
    out[i + 3] = pixels[i + 3] as number;
  }
  return out;
}
