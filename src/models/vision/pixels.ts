import { ArgumentError } from '../../native/errors.ts';
import { checkTensors } from '../../tensor/base.ts';
import { cat, isFloatingPoint, type Tensor, upsampleBicubic } from '../../tensor/index.ts';

/** How a vision tower runs. */
export interface VisionOptions {
  /** Fits the position table to pictures of another size than the tower's own, instead of refusing them. */
  interpolatePosEncoding?: boolean;
  /** Also returns the input of the first block and the output of each. */
  hiddenStates?: boolean;
}

/**
 * Checks that pictures are a tensor of floating-point numbers: bytes that were not normalised would do for a model, but mean nothing to it.
 * @throws ArgumentError
 */
export function checkNormalised(pixelValues: Tensor): void {
  checkTensors({ pixelValues });
  if (isFloatingPoint(pixelValues.dtype)) return;
  const expected = 'normalised pictures of floating-point numbers, as an ImageProcessor makes them,';
  throw new ArgumentError('pixelValues', expected, pixelValues.dtype);
}

/**
 * Checks that pictures are `[B, 3, H, W]` of the tower's size, or, to be interpolated, at least one patch high and wide.
 * @throws ArgumentError naming both sizes
 */
export function checkPixels(pixelValues: Tensor, imageSize: number, patchSize: number, interpolate: boolean): void {
  checkNormalised(pixelValues);
  const { shape } = pixelValues;
  const [, channels, height = 0, width = 0] = shape;
  const fits = interpolate ? height >= patchSize && width >= patchSize : height === imageSize && width === imageSize;
  if (shape.length === 4 && channels === 3 && fits) return;
  throw new ArgumentError(
    'pixelValues',
    interpolate
      ? `pictures [B, 3, H, W] of at least ${patchSize} × ${patchSize} pixels`
      : `pictures [B, 3, ${imageSize}, ${imageSize}] (other sizes want interpolatePosEncoding)`,
    `[${shape.join(', ')}]`,
  );
}

/**
 * A table of positions `[1, 1 + P, D]`, its class row kept and its √P × √P patch rows resized to `height × width` patches by bicubic
 * interpolation (a = −0.75, not antialiased) → `[1, 1 + height·width, D]`. The table itself where nothing changes.
 * @param options.alignCorners whether the grids' corners, rather than their edges, lie on each other
 */
export function interpolatePositions(
  table: Tensor,
  height: number,
  width: number,
  options: { alignCorners?: boolean } = {},
): Tensor {
  const rows = table.size(1) - 1;
  const side = Math.floor(Math.sqrt(rows));
  if (height === side && width === side) return table;
  const grid = table.narrow(1, 1, rows).view(1, side, side, -1).permute(0, 3, 1, 2);
  // In float32 whatever the table's dtype: the CPU has no bicubic kernel of good precision for the short ones.
  const resized = upsampleBicubic(grid.float(), [height, width], options.alignCorners).to(table.dtype);
  return cat([table.narrow(1, 0, 1), resized.permute(0, 2, 3, 1).reshape(1, height * width, -1)], 1);
}
