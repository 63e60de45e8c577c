import sharp, { type OutputInfo, type Sharp } from 'sharp';
import { aCount, anObject, checkArgument, checkKeys } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { shown } from '../../native/fields.ts';
import { reasonOf } from '../../native/files.ts';
import { takeTypedArray } from '../../tensor/create.ts';
import { fromTypedArray, scope, type Tensor } from '../../tensor/index.ts';
import { ImageError } from './error.ts';
import { jpegSize } from './jpeg.ts';
import { checkKind, type Encoded, type ImageSource, isRawImage, type RawImage, readEncoded } from './source.ts';

/** Options of {@link loadImage}. */
export interface LoadImageOptions {
  /** Turn the picture as its EXIF orientation says, which is what a viewer shows; true unless told. */
  applyOrientation?: boolean;
  /** The most pixels that a picture may have, which bounds the memory it takes; 178,956,970 unless told. */
  limitInputPixels?: number;
}

/** Three bytes a pixel stay below half a gigabyte; the same bound beyond which Pillow refuses a picture. */
const LIMIT_INPUT_PIXELS = 178_956_970;

/**
 * Decodes a picture to a uint8 tensor `[3, H, W]`, RGB. Alpha is dropped, not composited; grey becomes RGB; of an animation it is the
 * first frame. Colour profiles are ignored, as BLIP-2's own pipelines do. The tensor is a view of rows of RGB pixels (channels last),
 * which is what the resizing kernels are fastest on. Decoding runs on the threads of sharp.
 *
 * @throws ImageError (naming the file) for what is no picture, is cut off, or has more pixels than `limitInputPixels`.
 * @throws ArgumentError for pixels whose size does not fit their data, a source that is none, or options that there are not.
 */
export async function loadImage(source: ImageSource, options: LoadImageOptions = {}): Promise<Tensor> {
  return loadNamed(source, options, undefined);
}

/**
 * The same with what errors call bytes and pixels, which have no name of their own.
 *
 * @internal
 */
export async function loadNamed(source: ImageSource, options: LoadImageOptions, name: string | undefined): Promise<Tensor> {
  if (isRawImage(source)) return fromPixels(source, limitOf(options), name);
  return decodeImage(await readEncoded(source, name), options);
}

/** A part of a picture, in pixels. */
export interface Region {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * The same for a picture file's bytes; with `choose`, only the part that it chooses, given the picture's height and width. What lies below that
 * part is not decoded, so a picture that is cut off there goes unnoticed.
 *
 * @internal
 */
export async function decodeImage(
  encoded: Encoded,
  options: LoadImageOptions = {},
  choose?: (height: number, width: number) => Region,
): Promise<Tensor> {
  const limitInputPixels = limitOf(options);
  checkKind(encoded);
  const { data, info } = await decode(encoded, options.applyOrientation ?? true, limitInputPixels, choose);
  // Left to the garbage collector, buffers of this size would have it go through the whole heap every few pictures.
  using rows = takeTypedArray(data, [info.height, info.width, info.channels]);
  return rows.permute(2, 0, 1);
}

function limitOf(options: LoadImageOptions): number {
  checkArgument('options', options, anObject);
  checkKeys('options', options, ['applyOrientation', 'limitInputPixels']);
  const { limitInputPixels = LIMIT_INPUT_PIXELS, applyOrientation = true } = options;
  checkArgument('limitInputPixels', limitInputPixels, aCount);
  if (typeof applyOrientation !== 'boolean')
    throw new ArgumentError('applyOrientation', 'true or false', shown(applyOrientation));
  return limitInputPixels;
}

async function decode(
  { bytes, name }: Encoded,
  autoOrient: boolean,
  limitInputPixels: number,
  choose?: (height: number, width: number) => Region,
): Promise<{ data: Uint8Array; info: OutputInfo }> {
  try {
    const picture = sharp(bytes, { autoOrient, limitInputPixels, failOn: 'error', ignoreIcc: true, sequentialRead: true });
    if (choose !== undefined) {
      const { height, width } = await sizeOf(picture, bytes, autoOrient);
      picture.extract(choose(height, width));
    }
    const decoded = await picture.toColourspace('srgb').removeAlpha().raw().toBuffer({ resolveWithObject: true });
    if (decoded.info.channels !== 3)
      throw new ImageError(name, `expected a picture of RGB or grey but it has ${decoded.info.channels} channels`);
    return decoded;
  } catch (error) {
    if (error instanceof ImageError) throw error;
    const reason = reasonOf(error);
    const problem = reason.includes('exceeds pixel limit')
      ? `has more than ${limitInputPixels} pixels`
      : `cannot be decoded: ${reason}`;
    throw new ImageError(name, problem, { cause: error });
  }
}

async function sizeOf(picture: Sharp, bytes: Uint8Array, autoOrient: boolean): Promise<{ height: number; width: number }> {
  const stored = jpegSize(bytes);
  if (stored !== undefined && !(stored.exif && autoOrient) && stored.height > 0 && stored.width > 0) return stored;
  const metadata = await picture.metadata();
  return autoOrient ? metadata.autoOrient : metadata;
}

/** A copy of the given pixels as `[3, H, W]`. */
function fromPixels({ data, width, height, channels }: RawImage, limitInputPixels: number, whose: string | undefined): Tensor {
  const field = (name: string): string => (whose === undefined ? name : `${whose}.${name}`);
  if (!(ArrayBuffer.isView(data) && data.BYTES_PER_ELEMENT === 1)) throw new ArgumentError(field('data'), 'bytes', shown(data));
  const count = channels ?? data.length / (width * height);
  for (const [name, size, most] of [
    ['width', width, 2 ** 31],
    ['height', height, 2 ** 31],
    ['channels', count, 4],
  ] as const) {
    if (!Number.isInteger(size) || size < 1 || size > most)
      throw new ArgumentError(field(name), `a whole number from 1 to ${most}`, String(size));
  }
  if (width * height > limitInputPixels)
    throw new ImageError(whose ?? 'the given pixels', `has more than ${limitInputPixels} pixels`);
  const expected = width * height * count;
  if (data.length !== expected) {
    throw new ArgumentError(field('data'), `${expected} bytes, as width, height and channels say`, `${data.length} bytes`);
  }
  return scope(() => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.length);
    const planes = fromTypedArray(bytes, [height, width, count]).permute(2, 0, 1);
    return count < 3 ? planes.narrow(0, 0, 1).expand(3, height, width) : planes.narrow(0, 0, 3);
  });
}
