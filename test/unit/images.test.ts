import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import zlib from 'node:zlib';
import sharp, { type Color, type Sharp } from 'sharp';
import {
  ArgumentError,
  FileError,
  ImageError,
  ImageProcessor,
  type ImageProcessorConfig,
  type LoadImageOptions,
  loadImage,
  memory,
  type Tensor,
  tensor,
  zeros,
} from '../../src/index.ts';

const photos = path.resolve('test/fixtures/photos');
const rocket = path.join(photos, 'rocket.jpg');
let folder: string;

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'images-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

const write = (name: string, content: string | Uint8Array): string => {
  const file = path.join(folder, name);
  fs.writeFileSync(file, content);
  return file;
};
const solid = (channels: 3 | 4, background: Color): Sharp => sharp({ create: { width: 2, height: 3, channels, background } });

describe('sources', () => {
  test('a path, a file URL, bytes and an ArrayBuffer give the same uint8 [3, H, W]', async () => {
    const bytes = fs.readFileSync(rocket);
    const copy = Uint8Array.from(bytes);
    const view = new DataView(copy.buffer) as unknown as Uint8Array;
    const images = await Promise.all(
      [rocket, pathToFileURL(rocket), pathToFileURL(rocket).href, bytes, copy, copy.buffer, view].map((source) =>
        loadImage(source),
      ),
    );
    for (const image of images) {
      expect([image.dtype, image.shape]).toEqual(['uint8', [3, 427, 640]]);
      expect(Buffer.compare(image.contiguous().data() as Uint8Array, images[0]?.contiguous().data() as Uint8Array)).toBe(0);
    }
  });

  test.each<[string, number[], number | undefined, number[]]>([
    ['grey', [10, 20], 1, [10, 20, 10, 20, 10, 20]],
    ['grey and alpha', [10, 99, 20, 99], 2, [10, 20, 10, 20, 10, 20]],
    ['RGB', [1, 2, 3, 4, 5, 6], 3, [1, 4, 2, 5, 3, 6]],
    ['RGBA, as ImageData has it', [1, 2, 3, 9, 4, 5, 6, 9], undefined, [1, 4, 2, 5, 3, 6]],
  ])('raw pixels: %s', async (_, data, channels, expected) => {
    const pixels = Uint8ClampedArray.from(data);
    const image = await loadImage({ data: pixels, width: 2, height: 1, ...(channels === undefined ? {} : { channels }) });
    pixels.fill(0); // the tensor has its own copy
    expect(image.shape).toEqual([3, 1, 2]);
    expect(Array.from(image.contiguous().data() as Uint8Array)).toEqual(expected);
  });

  test.each([
    ['too few bytes', { data: new Uint8Array(5), width: 2, height: 1, channels: 3 }, 'data'],
    ['no width', { data: new Uint8Array(6), width: 0, height: 1, channels: 3 }, 'width'],
    ['a fraction', { data: new Uint8Array(6), width: 2, height: 0.5, channels: 3 }, 'height'],
    ['five channels', { data: new Uint8Array(10), width: 2, height: 1, channels: 5 }, 'channels'],
    ['sizes that no channels fit', { data: new Uint8Array(7), width: 2, height: 1 }, 'channels'],
    ['nothing', { data: null as unknown as Uint8Array, width: 2, height: 1 }, 'data'],
    ['floats', { data: new Float32Array(6) as unknown as Uint8Array, width: 2, height: 1, channels: 3 }, 'data'],
  ])('raw pixels with %s are refused', async (_, source, argument) => {
    await expect(loadImage(source)).rejects.toThrow(expect.objectContaining({ name: 'ArgumentError', argument }));
  });

  test('options and settings that there are not are named, with those that there are', async () => {
    const named = (argument: string, message: RegExp) =>
      expect.objectContaining({ name: 'ArgumentError', argument, message: expect.stringMatching(message) });
    const misspelt = { limitPixels: 9 } as LoadImageOptions;
    const options = named('options', /fields out of applyOrientation, limitInputPixels.* received limitPixels/);
    await expect(loadImage(rocket, misspelt)).rejects.toEqual(options);
    await expect(loadImage({ data: new Uint8Array(3), width: 1, height: 1 }, misspelt)).rejects.toEqual(options);
    await expect(new ImageProcessor().preprocess(rocket, misspelt)).rejects.toEqual(options);
    expect(() => new ImageProcessor({ imageSize: 224 } as Partial<ImageProcessorConfig>)).toThrow(
      named('config', /fields out of doResize, size, .*received imageSize/),
    );
    expect(() => new ImageProcessor({ imageStd: [1, 1, 0] })).toThrow(named('imageStd', /three numbers above 0.*\[1, 1, 0\]/));
  });

  test('what is no source is refused', async () => {
    for (const source of [
      'https://example.org/a.jpg',
      new URL('https://example.org/a.jpg'),
      'data://x',
      7,
      null,
      undefined,
      {},
    ]) {
      await expect(loadImage(source as string)).rejects.toThrow(ArgumentError);
    }
  });
});

describe('decoding', () => {
  test('EXIF orientation is applied unless turned off', async () => {
    const file = path.join(photos, 'kinds/orientation.jpg');
    expect((await loadImage(file)).shape).toEqual([3, 24, 16]);
    const stored = await loadImage(file, { applyOrientation: false });
    expect(stored.shape).toEqual([3, 16, 24]);
    // Turned by 90° clockwise: the first column, from below, is the first row.
    const turned = (await loadImage(file)).transpose(1, 2).flip(1);
    expect(Buffer.compare(turned.contiguous().data() as Uint8Array, stored.contiguous().data() as Uint8Array)).toBe(0);
  });

  test('alpha is dropped, not composited', async () => {
    const png = await solid(4, { r: 200, g: 100, b: 50, alpha: 0 }).png().toBuffer();
    expect((await loadImage(png)).select(2, 0).select(1, 0).toArray()).toEqual([200, 100, 50]);
  });

  test('an embedded colour profile is ignored', async () => {
    const plain = await solid(3, { r: 200, g: 30, b: 90 }).png().toBuffer();
    const profiled = await sharp(plain).withIccProfile('p3').png().toBuffer();
    expect((await sharp(profiled).metadata()).icc?.byteLength).toBeGreaterThan(100);
    const stored = await sharp(profiled, { ignoreIcc: true }).raw().toBuffer();
    expect((await loadImage(profiled)).select(2, 0).select(1, 0).toArray()).toEqual(Array.from(stored.subarray(0, 3)));
  });

  test('16 bits become 8, and CMYK becomes RGB', async () => {
    const deep = await solid(3, { r: 255, g: 128, b: 0 }).toColourspace('rgb16').png().toBuffer();
    expect((await sharp(deep).metadata()).depth).toBe('ushort');
    expect((await loadImage(deep)).select(2, 0).select(1, 0).toArray()).toEqual([255, 128, 0]);
    const cmyk = await solid(3, { r: 255, g: 255, b: 255 }).toColourspace('cmyk').jpeg().toBuffer();
    expect((await sharp(cmyk).metadata()).channels).toBe(4);
    const white = (await loadImage(cmyk)).to('float32');
    expect(white.shape).toEqual([3, 3, 2]);
    expect(white.min().item()).toBeGreaterThan(250);
  });

  test('every format that is promised is decoded', async () => {
    const picture = solid(3, { r: 90, g: 60, b: 30 });
    for (const format of ['jpeg', 'png', 'webp', 'gif', 'tiff', 'avif'] as const) {
      expect((await loadImage(await picture.clone().toFormat(format).toBuffer())).shape).toEqual([3, 3, 2]);
    }
  });
});

describe('what cannot be decoded is an ImageError that names the file', () => {
  test.each<[string, () => string, RegExp]>([
    ['text', () => write('text.jpg', 'hello'), /text\.jpg: expected a JPEG, PNG, WebP, GIF, TIFF or AVIF picture but it is none/],
    ['an empty file', () => write('empty.png', ''), /empty\.png: .* it is empty/],
    ['an SVG', () => write('drawing.svg', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'), /drawing\.svg/],
    [
      'a signature alone',
      () => write('start.png', fs.readFileSync(path.join(photos, 'color.png')).subarray(0, 8)),
      /start\.png: cannot be decoded/,
    ],
    ['a missing file', () => path.join(folder, 'gone.jpg'), /gone\.jpg: cannot be read: ENOENT/],
    ['a folder', () => folder, /expected a regular file/],
    ['a device', () => '/dev/zero', /expected a regular file/],
    ['a path with a NUL', () => 'a\0b', /cannot be read/],
  ])('%s', async (_, make, message) => {
    const file = make();
    const error: unknown = await loadImage(file).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ImageError);
    expect((error as ImageError).file).toBe(file);
    expect((error as ImageError).message).toMatch(message);
  });

  test.each([
    'rocket.jpg',
    'color.png',
    'kinds/progressive.jpg',
    'kinds/animated.webp',
    'kinds/animated.gif',
    'kinds/plain.tiff',
  ])('%s, cut off anywhere', async (name) => {
    const bytes = fs.readFileSync(path.join(photos, name));
    for (const share of [0.1, 0.4, 0.7, 0.9]) {
      const file = write('cut', bytes.subarray(0, Math.floor(bytes.length * share)));
      const error: unknown = await loadImage(file).catch((caught: unknown) => caught);
      // The frames after the first one of an animation are not read.
      if (!(name.includes('animated') && share >= 0.4)) expect(error).toBeInstanceOf(ImageError);
      if (error instanceof Error) expect((error as ImageError).file).toBe(file);
    }
  });

  test('damaged in many ways, each is refused or decoded, and nothing else happens', async () => {
    let state = 7;
    const below = (limit: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    const kinds = path.join(photos, 'kinds');
    let refused = 0;
    for (const name of fs.readdirSync(kinds)) {
      const bytes = fs.readFileSync(path.join(kinds, name));
      for (let i = 0; i < 20; i++) {
        const damaged = Buffer.from(bytes);
        for (let n = 0; n < 1 + below(4); n++) damaged[below(damaged.length)] = below(256);
        const result: unknown = await loadImage(damaged).catch((caught: unknown) => caught);
        if (result instanceof ImageError) refused++;
        else expect((result as Tensor).shape[0]).toBe(3);
      }
    }
    expect(refused).toBeGreaterThan(50);
  });

  test('too many pixels', async () => {
    await expect(loadImage(rocket, { limitInputPixels: 640 * 427 - 1 })).rejects.toThrow(
      /rocket\.jpg: has more than 273279 pixels/,
    );
    expect((await loadImage(rocket, { limitInputPixels: 640 * 427 })).shape).toEqual([3, 427, 640]);
    await expect(loadImage(rocket, { limitInputPixels: 0 })).rejects.toThrow(ArgumentError);
    for (const wrong of ['9', 1.5, Number.POSITIVE_INFINITY]) {
      await expect(loadImage(rocket, { limitInputPixels: wrong as never })).rejects.toThrow(ArgumentError);
    }
    const pixels = { data: new Uint8Array(3 * 4 * 5), width: 4, height: 5 };
    await expect(loadImage(pixels, { limitInputPixels: 19 })).rejects.toThrow('the given pixels: has more than 19 pixels');
    expect((await loadImage(pixels, { limitInputPixels: 20 })).shape).toEqual([3, 5, 4]);
    // A file of a few hundred bytes that claims 30,000 × 30,000 pixels: refused by default, at once.
    const bomb = await solid(3, { r: 1, g: 2, b: 3 }).png().toBuffer();
    bomb.writeUInt32BE(30000, 16);
    bomb.writeUInt32BE(30000, 20);
    bomb.writeUInt32BE(zlib.crc32(bomb.subarray(12, 29)), 29);
    await expect(loadImage(bomb)).rejects.toThrow(/the given bytes: has more than 178956970 pixels/);
  });
});

describe('ImageProcessor', () => {
  const config = (content: object, name = 'preprocessor_config.json'): string => {
    const inside = fs.mkdtempSync(path.join(folder, 'config-'));
    fs.writeFileSync(path.join(inside, name), JSON.stringify(content));
    return inside;
  };

  test("the defaults are Hugging Face's, and a config may be in either file", () => {
    const defaults = ImageProcessor.fromPretrained(config({})).config;
    expect(defaults).toEqual(new ImageProcessor().config);
    expect(defaults.size).toEqual({ height: 384, width: 384 });
    expect(ImageProcessor.fromPretrained(config({ size: 224 })).config.size).toEqual({ height: 224, width: 224 });
    const inner = { image_processor: { size: { height: 32, width: 48 }, image_mean: [0.5, 0.5, 0.5], do_rescale: false } };
    const other = ImageProcessor.fromPretrained(config(inner, 'processor_config.json'));
    expect(other.config).toMatchObject({ size: { height: 32, width: 48 }, imageMean: [0.5, 0.5, 0.5], doRescale: false });
    expect(ImageProcessor.fromPretrained(config(other.toJSON())).config).toEqual(other.config);
  });

  test.each([
    [{ size: { shortest_edge: 224 } }, /size: expected a number or { height, width }/],
    [{ size: -1 }, /size: expected a whole number from 1/],
    [{ size: { height: 2.5, width: 2 } }, /size\.height/],
    [{ resample: 2 }, /resample: expected 3 \(bicubic\) but received 2/],
    [{ do_center_crop: true }, /do_center_crop/],
    [{ do_resize: 'yes' }, /do_resize: expected true or false but received "yes"/],
    [{ image_mean: [0.5] }, /image_mean: expected three numbers/],
    [{ image_std: [0, 1, 1] }, /image_std: expected three numbers above 0/],
    [{ rescale_factor: 0 }, /rescale_factor/],
  ])('a config with %j is refused', (content, message) => {
    const inside = config(content);
    expect(() => ImageProcessor.fromPretrained(inside)).toThrow(message);
    expect(() => ImageProcessor.fromPretrained(inside)).toThrow(/preprocessor_config\.json/);
  });

  test('no config, a broken one and an absurd size are refused', () => {
    expect(() => ImageProcessor.fromPretrained(folder)).toThrow(FileError);
    fs.writeFileSync(path.join(folder, 'preprocessor_config.json'), '{');
    expect(() => ImageProcessor.fromPretrained(folder)).toThrow(/preprocessor_config\.json: expected JSON/);
    expect(() => new ImageProcessor({ size: { height: 1e9, width: 1 } })).toThrow(ArgumentError);
  });

  test('pictures of all sizes and sources make one batch, in their order', async () => {
    const processor = new ImageProcessor({ size: { height: 16, width: 16 } });
    const names = fs.readdirSync(photos).filter((file) => /\.(png|jpg)$/.test(file));
    const sources = names.map((name) => path.join(photos, name));
    const batch = await processor.preprocess([...sources, await loadImage(rocket), fs.readFileSync(rocket)]);
    expect(batch.shape).toEqual([7, 3, 16, 16]);
    expect(batch.isContiguous).toBe(true);
    for (const [i, source] of sources.entries()) {
      const alone = await processor.preprocess(source);
      expect(alone.select(0, 0).sub(batch.select(0, i)).abs().max().item()).toBe(0);
    }
    const rocketAt = names.indexOf('rocket.jpg');
    for (const i of [5, 6]) expect(batch.select(0, i).sub(batch.select(0, rocketAt)).abs().max().item()).toBe(0);
  });

  test('each step can be left out', async () => {
    const image = tensor([0, 51, 255].map((value) => [[value, value]])).to('uint8');
    const size = { height: 1, width: 2 };
    const off = { size, doResize: false, doRescale: false, doNormalize: false };
    expect((await new ImageProcessor(off).preprocess(image)).toArray()).toEqual([[[[0, 0]], [[51, 51]], [[255, 255]]]]);
    const rescaled = await new ImageProcessor({ ...off, doRescale: true }).preprocess(image);
    expect(rescaled.select(3, 0).toArray()).toEqual([[[0], [Math.fround(51 * Math.fround(1 / 255))], [1]]]);
    const normalised = await new ImageProcessor({
      ...off,
      doNormalize: true,
      imageMean: [1, 1, 5],
      imageStd: [1, 2, 10],
    }).preprocess(image);
    expect(normalised.select(3, 1).toArray()).toEqual([[[-1], [25], [25]]]);
    await expect(new ImageProcessor(off).preprocess([image, zeros([3, 2, 2], { dtype: 'uint8' })])).rejects.toThrow(
      /images\[1\]/,
    );
  });

  test('what is no picture among many rejects, with no tensors left', async () => {
    const processor = new ImageProcessor({ size: { height: 8, width: 8 } });
    const before = memory().tensors;
    await expect(processor.preprocess([rocket, write('bad.jpg', 'no'), rocket])).rejects.toThrow(/bad\.jpg/);
    await expect(processor.preprocess(zeros([3, 2, 2]))).rejects.toThrow(ArgumentError);
    await expect(processor.preprocess([])).rejects.toThrow(ArgumentError);
    (await processor.preprocess([rocket, rocket])).dispose();
    global.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(memory().tensors).toBeLessThanOrEqual(before);
  });

  test('memory stays flat over many pictures', () => {
    const run = `
      const { ImageProcessor } = await import(${JSON.stringify(path.resolve('dist/index.js'))});
      const processor = new ImageProcessor({ size: { height: 64, width: 64 } });
      const sources = Array(20).fill(${JSON.stringify(rocket)});
      const rss = [];
      for (let round = 0; round < 24; round++) {
        (await processor.preprocess(sources)).dispose();
        rss.push(process.memoryUsage.rss());
      }
      console.log(Math.max(...rss.slice(12)) - Math.max(...rss.slice(0, 12)));`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', run], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(Number(stdout)).toBeLessThan(16 * 2 ** 20); // a picture at its full size has 0.8 MB; the last 240 would take 200
  });
});
