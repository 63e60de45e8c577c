import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { anObject, aPath, checkArgument, checkKeys } from '../../native/arguments.ts';
import { ArgumentError, FileError } from '../../native/errors.ts';
import { shown } from '../../native/fields.ts';
import { type Json, readJsonObject, writeFileAtomically } from '../../native/files.ts';
import { checkTensors } from '../../tensor/base.ts';
import { empty, scope, Tensor, upsampleBicubicAntialiased } from '../../tensor/index.ts';
import { type Colour, FileFields } from '../fields.ts';
import { type LoadImageOptions, loadNamed } from './load.ts';
import { normalise } from './normalise.ts';
import type { ImageSource } from './source.ts';

/** How pictures become what the vision tower reads; Hugging Face's `preprocessor_config.json`. */
export interface ImageProcessorConfig {
  /** Resize to `size`; otherwise all pictures of a call must have one size. */
  readonly doResize: boolean;
  /** In pixels, 1 to 16,384 each. The proportions of a picture are not kept. */
  readonly size: { readonly height: number; readonly width: number };
  /** Multiply bytes by `rescaleFactor`. */
  readonly doRescale: boolean;
  /** 1/255 in all released models: bytes become numbers from 0 to 1. */
  readonly rescaleFactor: number;
  /** Subtract `imageMean` and divide by `imageStd`, channel by channel. */
  readonly doNormalize: boolean;
  /** Mean of red, green and blue, after rescaling. */
  readonly imageMean: Colour;
  /** Standard deviation of red, green and blue, after rescaling; above 0. */
  readonly imageStd: Colour;
}

/** The defaults of Hugging Face's `BlipImageProcessor`: 384 pixels square, CLIP's mean and deviation. Released BLIP-2 models say 224 or 364. */
export const imageProcessorDefaults: ImageProcessorConfig = {
  doResize: true,
  size: { height: 384, width: 384 },
  doRescale: true,
  rescaleFactor: 1 / 255,
  doNormalize: true,
  imageMean: [0.48145466, 0.4578275, 0.40821073],
  imageStd: [0.26862954, 0.26130258, 0.27577711],
};

const BICUBIC = 3;

/** Decodes, resizes and normalises pictures as Hugging Face's `BlipImageProcessor` does. */
export class ImageProcessor {
  /** What was given, and defaults for the rest. */
  readonly config: ImageProcessorConfig;

  /** @throws ArgumentError naming the field that there is not, or that is not as expected */
  constructor(config: Partial<ImageProcessorConfig> = {}) {
    checkArgument('config', config, anObject);
    checkKeys('config', config, Object.keys(imageProcessorDefaults));
    this.config = checked({ ...imageProcessorDefaults, ...config });
  }

  /**
   * Reads `preprocessor_config.json`, or the `image_processor` of `processor_config.json`, in a checkpoint's folder; fields that are absent
   * take their defaults.
   *
   * @throws FileError when neither is there, or one says what is not supported (another filter than bicubic, cropping, padding).
   */
  static fromPretrained(folder: string): ImageProcessor {
    checkArgument('folder', folder, aPath);
    const file = path.join(folder, 'preprocessor_config.json');
    if (fs.existsSync(file)) return ImageProcessor.fromFields(new FileFields(file, readJsonObject(file)));
    const whole = path.join(folder, 'processor_config.json');
    const fields = fs.existsSync(whole) ? new FileFields(whole, readJsonObject(whole)).child('image_processor') : undefined;
    if (fields === undefined) throw new FileError(folder, 'expected preprocessor_config.json in the folder');
    return ImageProcessor.fromFields(fields);
  }

  /** @internal */
  static fromFields(fields: FileFields): ImageProcessor {
    const resample = fields.whole('resample', 0) ?? BICUBIC;
    if (resample !== BICUBIC) throw fields.refusal('resample', `${BICUBIC} (bicubic)`);
    for (const step of ['do_center_crop', 'do_pad']) if (fields.flag(step, false)) throw fields.refusal(step, 'false');
    const defaults = imageProcessorDefaults;
    const imageStd = fields.colour('image_std', defaults.imageStd);
    if (imageStd.some((value) => value <= 0)) throw fields.refusal('image_std', 'three numbers above 0');
    return new ImageProcessor({
      doResize: fields.flag('do_resize', defaults.doResize),
      size: readSize(fields),
      doRescale: fields.flag('do_rescale', defaults.doRescale),
      rescaleFactor: fields.positive('rescale_factor', defaults.rescaleFactor),
      doNormalize: fields.flag('do_normalize', defaults.doNormalize),
      imageMean: fields.colour('image_mean', defaults.imageMean),
      imageStd,
    });
  }

  /** The configuration under Hugging Face's names, as `preprocessor_config.json` has it. */
  toJSON(): { readonly [key: string]: Json } {
    const { doResize, size, doRescale, rescaleFactor, doNormalize, imageMean, imageStd } = this.config;
    return {
      do_convert_rgb: true,
      do_normalize: doNormalize,
      do_rescale: doRescale,
      do_resize: doResize,
      image_mean: imageMean,
      image_processor_type: 'BlipImageProcessor',
      image_std: imageStd,
      resample: BICUBIC,
      rescale_factor: rescaleFactor,
      size: { height: size.height, width: size.width },
    };
  }

  /** Writes `preprocessor_config.json`. */
  savePretrained(folder: string): void {
    checkArgument('folder', folder, aPath);
    writeFileAtomically(path.join(folder, 'preprocessor_config.json'), `${JSON.stringify(this, null, 2)}\n`);
  }

  /**
   * Pictures to `pixelValues` `[B, 3, S, S]`, float32 on the CPU: (x · rescale − mean) / std of the resized pixels. A tensor
   * among them is taken as uint8 `[3, H, W]`. Decoding runs in parallel on other threads, a few pictures at a time, so that no more
   * than these are in memory at their full size.
   *
   * @throws ImageError for a picture that cannot be decoded.
   */
  async preprocess(
    images: ImageSource | Tensor | readonly (ImageSource | Tensor)[],
    options: LoadImageOptions = {},
  ): Promise<Tensor> {
    if (!Array.isArray(images)) return this.preprocessNamed([images as ImageSource | Tensor], [], options);
    const list = images as readonly (ImageSource | Tensor)[];
    if (list.length === 0) throw new ArgumentError('images', 'at least one picture', 'none');
    return this.preprocessNamed(
      list,
      list.map((_, i) => `images[${i}]`),
      options,
    );
  }

  /** @internal The same with what errors call the pictures that have no name of their own. */
  async preprocessNamed(
    list: readonly (ImageSource | Tensor)[],
    names: readonly (string | undefined)[],
    options: LoadImageOptions = {},
  ): Promise<Tensor> {
    const { height, width } = this.config.size;
    let out = this.config.doResize ? empty([list.length, 3, height, width]) : undefined;
    try {
      await inParallel(list, async (image, i) => {
        const pixels = image instanceof Tensor ? image : await loadNamed(image, options, names[i]);
        try {
          out ??= empty([list.length, ...pixels.shape]);
          this.#write(pixels, out, i, names[i]);
        } finally {
          if (pixels !== image) pixels.dispose();
        }
      });
      normalise(out as Tensor, this.config);
    } catch (error) {
      out?.dispose();
      throw error;
    }
    return out as Tensor;
  }

  /** Pixels uint8 `[3, H, W]`, resized to `[3, S, S]`: antialiased bicubic, rounded and clamped to bytes. */
  resize(pixels: Tensor): Tensor {
    checkTensors({ pixels });
    if (pixels.dtype !== 'uint8' || pixels.ndim !== 3 || pixels.size(0) !== 3 || pixels.numel === 0) {
      throw new ArgumentError('pixels', 'uint8 of shape [3, H, W]', `${pixels.dtype} of shape [${pixels.shape.join(', ')}]`);
    }
    const { height, width } = this.config.size;
    if (pixels.size(1) === height && pixels.size(2) === width) return pixels;
    return scope(() => upsampleBicubicAntialiased(pixels.unsqueeze(0), [height, width]).squeeze(0));
  }

  #write(pixels: Tensor, out: Tensor, i: number, name = `images[${i}]`): void {
    scope(() => {
      const resized = this.config.doResize ? this.resize(pixels) : pixels;
      const place = out.select(0, i);
      if (place.shape.some((size, d) => size !== resized.shape[d])) {
        throw new ArgumentError(name, `the size [${place.shape}] of the others`, `[${resized.shape}]`);
      }
      // Planes first: to turn pixels into planes is cheap on bytes, less so together with the conversion to floats.
      place.copy_(resized.contiguous());
    });
  }
}

function checked(config: ImageProcessorConfig): ImageProcessorConfig {
  const check = (field: string, value: unknown, expected: string, fits: boolean): void => {
    if (!fits) throw new ArgumentError(field, expected, Array.isArray(value) ? `[${value.join(', ')}]` : shown(value));
  };
  for (const flag of ['doResize', 'doRescale', 'doNormalize'] as const) {
    check(flag, config[flag], 'true or false', typeof config[flag] === 'boolean');
  }
  for (const side of ['height', 'width'] as const) {
    const size = config.size?.[side];
    check(`size.${side}`, size, 'a whole number from 1 to 16384', Number.isInteger(size) && size >= 1 && size <= 16384);
  }
  const { rescaleFactor, imageMean, imageStd } = config;
  check('rescaleFactor', rescaleFactor, 'a number above 0', Number.isFinite(rescaleFactor) && rescaleFactor > 0);
  const three = (values: Colour, fits: (value: number) => boolean): boolean =>
    Array.isArray(values) && values.length === 3 && values.every((value) => Number.isFinite(value) && fits(value));
  check(
    'imageMean',
    imageMean,
    'three numbers',
    three(imageMean, () => true),
  );
  check(
    'imageStd',
    imageStd,
    'three numbers above 0',
    three(imageStd, (value) => value > 0),
  );
  return config;
}

function readSize(fields: FileFields): { height: number; width: number } {
  const size = fields.raw('size');
  if (size === undefined) return imageProcessorDefaults.size;
  if (typeof size === 'number') {
    const side = fields.whole('size', 1) as number;
    return { height: side, width: side };
  }
  const inner = fields.child('size') as FileFields;
  const [height, width] = [inner.whole('height', 1), inner.whole('width', 1)];
  if (height === undefined || width === undefined) throw fields.refusal('size', 'a number or { height, width }');
  return { height, width };
}

/** Runs `work` on every item, a few at a time; the first failure is the result, once those that run have ended. */
async function inParallel<T>(items: readonly T[], work: (item: T, i: number) => Promise<void>): Promise<void> {
  let next = 0;
  let failure: { error: unknown } | undefined;
  const worker = async (): Promise<void> => {
    while (next < items.length && failure === undefined) {
      const i = next++;
      try {
        await work(items[i] as T, i);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(items.length, os.availableParallelism() + 1) }, worker));
  if (failure !== undefined) throw failure.error;
}
