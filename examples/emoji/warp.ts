import type { Sprite } from './art.ts';
import { SIDE } from './scene.ts';

/** Red, green and blue out of red, green, blue and 1: three rows of four. */
export type Paint = readonly number[];

export const PLAIN: Paint = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0];

/** An object as it is put into a picture. */
export interface WarpedObject {
  readonly sprite: Sprite;
  /** Its middle, in pixels of the picture. */
  readonly x: number;
  readonly y: number;
  /** From offsets out of the middle, in the picture, to such offsets in the sprite: row by row. */
  readonly matrix: readonly [xx: number, xy: number, yx: number, yy: number];
  readonly paint: Paint;
  /** A part that stays hidden: left, top, right and bottom, in pixels of the picture. */
  readonly hidden: readonly [left: number, top: number, right: number, bottom: number] | null;
}

/** Red, green and blue times alpha, and alpha, 0–255, as numbers that are quick to blend. */
const premultiplied = new WeakMap<Sprite, Float32Array>();

function premultiply(sprite: Sprite): Float32Array {
  const known = premultiplied.get(sprite);
  if (known !== undefined) return known;
  const made = Float32Array.from(sprite.pixels, (value, i) => {
    return i % 4 === 3 ? value : (value * (sprite.pixels[i - (i % 4) + 3] as number)) / 255;
  });
  premultiplied.set(sprite, made);
  return made;
}

/**
 * Draws an object between its pixels (bilinear), over what is there.
 * @param cell side of the squares, in pixels, of which each is told how much of it the object covers
 * @param covered pixels' worth of each square, row by row, to be added to
 */
export function drawWarped(object: WarpedObject, picture: Uint8ClampedArray, cell: number, covered: Float32Array): void {
  const { sprite, x, y, matrix, paint, hidden } = object;
  const { width, height } = sprite;
  const texels = premultiply(sprite);
  const [xx, xy, yx, yy] = matrix;
  const [rr, rg, rb, r1, gr, gg, gb, g1, br, bg, bb, b1] = paint as [...number[]] as Row;
  const size = Math.abs(xx * yy - xy * yx);
  const reachX = (Math.abs(yy) * width + Math.abs(xy) * height) / 2 / size + 1;
  const reachY = (Math.abs(yx) * width + Math.abs(xx) * height) / 2 / size + 1;
  const right = Math.min(SIDE, Math.ceil(x + reachX));
  const bottom = Math.min(SIDE, Math.ceil(y + reachY));
  const cells = SIDE / cell;
  for (let row = Math.max(0, Math.floor(y - reachY)); row < bottom; row++) {
    for (let column = Math.max(0, Math.floor(x - reachX)); column < right; column++) {
      if (hidden !== null && column >= hidden[0] && column < hidden[2] && row >= hidden[1] && row < hidden[3]) continue;
      const dx = column + 0.5 - x;
      const dy = row + 0.5 - y;
      const u = xx * dx + xy * dy + width / 2 - 0.5;
      const v = yx * dx + yy * dy + height / 2 - 0.5;
      const left = Math.floor(u);
      const top = Math.floor(v);
      if (left < -1 || top < -1 || left >= width || top >= height) continue;
      let red = 0;
      let green = 0;
      let blue = 0;
      let alpha = 0;
      for (let j = 0; j < 2; j++) {
        const t = top + j;
        if (t < 0 || t >= height) continue;
        const rowWeight = j === 0 ? 1 - (v - top) : v - top;
        for (let i = 0; i < 2; i++) {
          const s = left + i;
          if (s < 0 || s >= width) continue;
          const weight = rowWeight * (i === 0 ? 1 - (u - left) : u - left);
          const at = 4 * (t * width + s);
          red += weight * (texels[at] as number);
          green += weight * (texels[at + 1] as number);
          blue += weight * (texels[at + 2] as number);
          alpha += weight * (texels[at + 3] as number);
        }
      }
      if (alpha < 1) continue;
      const part = alpha / 255;
      const rest = 1 - part;
      const to = 3 * (row * SIDE + column);
      picture[to] = rest * (picture[to] as number) + rr * red + rg * green + rb * blue + part * r1;
      picture[to + 1] = rest * (picture[to + 1] as number) + gr * red + gg * green + gb * blue + part * g1;
      picture[to + 2] = rest * (picture[to + 2] as number) + br * red + bg * green + bb * blue + part * b1;
      const square = Math.floor(row / cell) * cells + Math.floor(column / cell);
      covered[square] = (covered[square] as number) + part;
    }
  }
}

type Row = [number, number, number, number, number, number, number, number, number, number, number, number];
