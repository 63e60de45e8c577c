import { FileError } from '../../native/errors.ts';
import { scope, upsampleBicubicAntialiased } from '../../tensor/index.ts';
import type { ImageLocation } from '../datasets/sample.ts';
import { decodeImage } from '../images/load.ts';
import { randomStream } from '../random.ts';
import { readRange } from '../read.ts';
import { drawCrop, type ImageTransform } from '../transforms.ts';

/** One picture to prepare. */
export interface Job {
  readonly image: ImageLocation;
  /** What the crop's random numbers depend on: the seed, the epoch and the sample's key. */
  readonly random: readonly [seed: number, epoch: number, key: string];
}

/** A picture's bytes in rows of RGB, `[S, S, 3]`, and whether it is still to be mirrored; or why there are none. */
export type Prepared = { readonly pixels: Uint8Array; readonly mirrored: boolean } | { readonly problem: string };

/** Reads, decodes, crops and resizes a picture. What is wrong with a file is a result, all else is thrown. */
export async function prepare({ image, random: keys }: Job, transform: ImageTransform): Promise<Prepared> {
  const { size, crop, flip, applyOrientation } = transform;
  try {
    const bytes = readRange(image);
    const random = randomStream(...keys);
    const choose = crop === null ? undefined : (height: number, width: number) => drawCrop(height, width, crop, random);
    using decoded = await decodeImage({ bytes, name: image.name }, { applyOrientation }, choose);
    const mirrored = random() < flip;
    // No operator here may use several threads: many of these run at the same time. Rows of pixels are the layout that resizing takes and gives.
    const pixels = scope(() => {
      const fits = decoded.size(1) === size && decoded.size(2) === size;
      const resized = fits ? decoded.unsqueeze(0) : upsampleBicubicAntialiased(decoded.unsqueeze(0), [size, size]);
      return resized.permute(0, 2, 3, 1).data() as Uint8Array;
    });
    return { pixels, mirrored };
  } catch (error) {
    if (error instanceof FileError) return { problem: error.message };
    throw error;
  }
}

/** Runs at most `limit` tasks at the same time, in the order given. */
export function limited<A extends readonly unknown[], R>(
  limit: number,
  task: (...args: A) => Promise<R>,
): (...args: A) => Promise<R> {
  const waiting: (() => void)[] = [];
  let free = limit;
  return async (...args) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await task(...args);
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}
