import { anObject, checkArgument, checkKeys, having } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { shown } from '../native/fields.ts';
import type { Colour } from './fields.ts';
import type { Region } from './images/load.ts';
import { imageProcessorDefaults } from './images.ts';
import type { Random } from './random.ts';

/** What happens to a picture between its file and a batch. Plain data, so that it goes to other threads and into a recipe's file. */
export interface ImageTransform {
  /** Pixels on each side of the square that comes out. */
  readonly size: number;
  /** A random part of the picture, resized: its share of the area, and width : height. Null: the whole picture. */
  readonly crop: { readonly scale: Range; readonly ratio: Range } | null;
  /** The probability that the picture is mirrored. */
  readonly flip: number;
  /** Mean of red, green and blue, of numbers from 0 to 1; CLIP's unless told. */
  readonly imageMean: Colour;
  /** Standard deviation of the same; CLIP's unless told. */
  readonly imageStd: Colour;
  /** Turn the picture as its EXIF orientation says. */
  readonly applyOrientation: boolean;
}

/** From the least to the greatest value. */
export type Range = readonly [least: number, greatest: number];

const { imageMean, imageStd } = imageProcessorDefaults;

/**
 * LAVIS's `blip2_image_train`: a random part of 50 to 100 % of the area with a width of 3/4 to 4/3 of the height, resized (bicubic) to
 * `size` pixels square, mirrored half of the time, and normalised. Every field can be set; `size` is 224 unless told.
 *
 * @throws ArgumentError
 */
export function trainTransform(options: Partial<ImageTransform> = {}): ImageTransform {
  checkArgument('options', options, anObject);
  return checked({ ...evalTransform(), crop: { scale: [0.5, 1], ratio: [3 / 4, 4 / 3] }, flip: 0.5, ...options });
}

/**
 * The whole picture, resized to `size` pixels square (224 unless told) and normalised, as an {@link ImageProcessor} does.
 *
 * @throws ArgumentError
 */
export function evalTransform(options: Partial<ImageTransform> = {}): ImageTransform {
  checkArgument('options', options, anObject);
  return checked({ size: 224, crop: null, flip: 0, imageMean, imageStd, applyOrientation: true, ...options });
}

/** @throws ArgumentError for what neither {@link trainTransform} nor {@link evalTransform} would give, its fields under the argument's name */
export function checkTransform(argument: string, transform: ImageTransform): void {
  checkArgument(argument, transform, having(...NAMES.filter((name) => name !== 'crop')));
  try {
    checked(transform);
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    const field = error.argument === 'options' ? argument : `${argument}.${error.argument}`;
    throw new ArgumentError(field, error.expected, error.received, { cause: error });
  }
}

const NAMES = ['size', 'crop', 'flip', 'imageMean', 'imageStd', 'applyOrientation'];

function checked(transform: ImageTransform): ImageTransform {
  const { size, crop, flip, imageMean, imageStd, applyOrientation } = transform;
  checkKeys('options', transform, NAMES);
  if (!Number.isInteger(size) || size < 1 || size > 16384) {
    throw new ArgumentError('size', 'a whole number from 1 to 16384', shown(size));
  }
  if (!(flip >= 0 && flip <= 1)) throw new ArgumentError('flip', 'a probability', shown(flip));
  if (!areNumbers(imageMean, 3)) throw new ArgumentError('imageMean', 'three numbers', listed(imageMean));
  if (!areNumbers(imageStd, 3) || imageStd.some((value) => value <= 0)) {
    throw new ArgumentError('imageStd', 'three numbers above 0', listed(imageStd));
  }
  if (typeof applyOrientation !== 'boolean')
    throw new ArgumentError('applyOrientation', 'true or false', shown(applyOrientation));
  if (crop !== null) {
    checkArgument('crop', crop, anObject);
    checkRange('crop.scale', crop.scale, 1);
    checkRange('crop.ratio', crop.ratio, Infinity);
  }
  return transform;
}

function checkRange(name: string, range: Range, most: number): void {
  if (areNumbers(range, 2) && range[0] > 0 && range[0] <= range[1] && range[1] <= most) return;
  throw new ArgumentError(name, `two numbers above 0${most === 1 ? ' and at most 1' : ''}, the lesser first`, listed(range));
}

const areNumbers = (list: readonly number[], length: number): boolean =>
  Array.isArray(list) && list.length === length && list.every(Number.isFinite);

const listed = (value: unknown): string => (Array.isArray(value) ? `[${value.map(shown).join(', ')}]` : shown(value));

/**
 * Draws the part of a picture that a random resized crop keeps, by torchvision's algorithm: ten attempts at an area and a ratio, then the
 * largest part in the middle whose ratio is allowed. Draws area, ratio and, for the attempt that fits, top and left.
 */
export function drawCrop(height: number, width: number, crop: { scale: Range; ratio: Range }, random: Random): Region {
  const { fround } = Math; // torchvision draws in float32, and a crop's last pixel can depend on it
  const between = (least: number, greatest: number): number =>
    fround(fround(least) + fround(random()) * fround(greatest - least));
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = height * width * between(...crop.scale);
    const ratio = fround(Math.exp(between(Math.log(crop.ratio[0]), Math.log(crop.ratio[1]))));
    const w = rounded(Math.sqrt(area * ratio));
    const h = rounded(Math.sqrt(area / ratio));
    if (w > 0 && w <= width && h > 0 && h <= height) {
      const top = Math.floor(random() * (height - h + 1));
      return { top, left: Math.floor(random() * (width - w + 1)), width: w, height: h };
    }
  }
  const ratio = Math.min(Math.max(width / height, crop.ratio[0]), crop.ratio[1]);
  const w = Math.max(1, Math.min(width, rounded(height * ratio)));
  const h = Math.max(1, Math.min(height, rounded(width / ratio)));
  return { left: Math.floor((width - w) / 2), top: Math.floor((height - h) / 2), width: w, height: h };
}

/** To the nearest whole number; from the middle to the even one, as Python does. */
function rounded(value: number): number {
  return value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value);
}
