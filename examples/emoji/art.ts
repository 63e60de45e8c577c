import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import sharp from 'sharp';
import type { ArtSet, Concept } from './concepts.ts';
import { type Scene, sizes } from './scene.ts';

/** A drawn object: `width` × `height` pixels of red, green, blue and alpha, row by row. */
export interface Sprite {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array;
}

/** What is read of an Iconify set's icons.json. */
interface IconSet {
  readonly icons: Readonly<Record<string, Box & { readonly body: string }>>;
  readonly aliases?: Readonly<Record<string, { readonly parent: string }>>;
}
interface Box {
  readonly left?: number;
  readonly top?: number;
  readonly width?: number;
  readonly height?: number;
}

const require = createRequire(import.meta.url);

/** Icons are rasterised at this side, cut to what is drawn, and then made smaller. */
const RASTER = 160;

/** The objects of some concepts by some hands, rasterised once in each size. */
export class Art {
  readonly #sprites: ReadonlyMap<string, Sprite>;

  private constructor(sprites: ReadonlyMap<string, Sprite>) {
    this.#sprites = sprites;
  }

  /** @param sides of the squares that objects are to fill, in pixels; those of scenes unless told */
  static async load(
    concepts: readonly Concept[],
    sets: readonly ArtSet[],
    sides: readonly number[] = Object.values(sizes),
  ): Promise<Art> {
    const sprites = new Map<string, Sprite>();
    for (const set of sets) {
      const drawings = await drawingsOf(set);
      await Promise.all(
        concepts.flatMap(({ icon }) =>
          sides.map(async (side) => sprites.set(key(set, icon, side), await rasterise(drawings(icon), side))),
        ),
      );
    }
    return new Art(sprites);
  }

  /** @throws RangeError where the scene's set, concept or size was not loaded */
  sprite({ set, icon, size }: Pick<Scene, 'set' | 'icon' | 'size'>): Sprite {
    return this.drawing(set, icon, sizes[size]);
  }

  /** @throws RangeError where this was not loaded */
  drawing(set: ArtSet, icon: string, side: number): Sprite {
    const sprite = this.#sprites.get(key(set, icon, side));
    if (sprite === undefined) throw new RangeError(`no ${icon} of ${set} of ${side} pixels has been loaded`);
    return sprite;
  }
}

function key(set: ArtSet, icon: string, side: number): string {
  return `${set}/${icon}/${side}`;
}

/** Each icon of a set as an SVG document. */
async function drawingsOf(set: ArtSet): Promise<(icon: string) => string> {
  const file = require.resolve(`@iconify-json/${set}/icons.json`);
  const data = JSON.parse(await readFile(file, 'utf8')) as IconSet & Box;
  return (icon) => {
    const drawn = data.icons[icon] ?? data.icons[data.aliases?.[icon]?.parent ?? ''];
    if (drawn === undefined) throw new RangeError(`${file} has no icon named ${icon}`);
    const { left = 0, top = 0, width = 16, height = 16 } = { ...data, ...drawn };
    return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${RASTER}" height="${RASTER}" viewBox="${left} ${top} ${width} ${height}">${drawn.body}</svg>`;
  };
}

/** What is drawn, without the margins that each set leaves as it likes, so that its longer side has `side` pixels. */
async function rasterise(svg: string, side: number): Promise<Sprite> {
  const { data, info } = await sharp(Buffer.from(svg))
    .trim({ background: { r: 0, g: 0, b: 0, alpha: 0 }, threshold: 20 })
    .resize(side, side, { fit: 'inside' })
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, pixels: data };
}
