import { readFileSync } from 'node:fs';
import path from 'node:path';
import { decodeImage } from '../../src/data/images/load.ts';
import { permutation, randomStream } from '../../src/data/random.ts';
import { drawCrop } from '../../src/data/transforms.ts';
import { evalTransform, openSafetensors, type Tensor, trainTransform, upsampleBicubicAntialiased } from '../../src/index.ts';

interface Case {
  height: number;
  width: number;
  scale: [number, number];
  ratio: [number, number];
  numbers: number[];
  region: { left: number; top: number; width: number; height: number };
}

/** Gives recorded numbers one after another. */
const replay = (numbers: readonly number[]): (() => number) => {
  let next = 0;
  return () => numbers[next++] as number;
};

test('crops are torchvision’s, given the same random numbers', () => {
  const cases = JSON.parse(readFileSync('test/fixtures/data/crops.json', 'utf8')) as Case[];
  expect(cases.length).toBe(400);
  for (const { height, width, scale, ratio, numbers, region } of cases) {
    let used = 0;
    const random = () => numbers[used++] as number;
    expect({ height, width, region: drawCrop(height, width, { scale, ratio }, random) }).toEqual({
      height,
      width,
      region,
    });
    expect(used).toBe(numbers.length);
  }
});

test('a photo’s crop, resized and mirrored, is torchvision’s', async () => {
  const golden = openSafetensors('test/fixtures/data/crops.safetensors');
  const { numbers } = JSON.parse(golden.metadata.get('facts') as string) as { numbers: Record<string, number[]> };
  const { crop, flip } = trainTransform();
  let mirrored = 0;
  for (const [key, recorded] of Object.entries(numbers)) {
    const file = path.join('test/fixtures/photos', key.slice(0, -2));
    const random = replay(recorded);
    const pixels = await decodeImage({ bytes: readFileSync(file), name: file }, {}, (h, w) =>
      drawCrop(h, w, crop as never, random),
    );
    let ours: Tensor = upsampleBicubicAntialiased(pixels.unsqueeze(0), [128, 128]).squeeze(0);
    if (random() < flip) {
      mirrored++;
      ours = ours.flip(-1);
    }
    const apart = ours.to('int32').sub(golden.get(key).to('int32')).abs();
    expect(apart.max().item()).toBeLessThanOrEqual(2);
    expect(apart.eq(0).to('float32').mean().item()).toBeGreaterThanOrEqual(0.995);
  }
  expect(mirrored).toBeGreaterThan(0);
  expect(mirrored).toBeLessThan(6);
});

test.each([
  'rocket.jpg',
  'coffee.png',
  'kinds/orientation.jpg',
  'kinds/progressive.jpg',
  'kinds/grey.jpg',
  'kinds/lossless.webp',
])('a part of %s is what the whole has there', async (name) => {
  const file = path.join('test/fixtures/photos', name);
  const encoded = { bytes: readFileSync(file), name };
  for (const applyOrientation of [true, false]) {
    const whole = await decodeImage(encoded, { applyOrientation });
    let seen: number[] = [];
    const part = await decodeImage(encoded, { applyOrientation }, (height, width) => {
      seen = [height, width];
      return { top: 3, left: 5, height: height - 7, width: width - 6 };
    });
    const [, height = 0, width = 0] = whole.shape;
    expect(seen).toEqual([height, width]);
    const same = whole.narrow(1, 3, height - 7).narrow(2, 5, width - 6);
    expect(part.ne(same).sum().item()).toBe(0);
  }
});

test('a stream of random numbers depends on its keys alone', () => {
  const draw = (...keys: (number | string)[]) => Array.from({ length: 4 }, randomStream(...keys));
  expect(draw(1, 0, 'a')).toEqual(draw(1, 0, 'a'));
  const streams = [draw(1, 0, 'a'), draw(2, 0, 'a'), draw(1, 1, 'a'), draw(1, 0, 'b'), draw(10, 'a'), draw(1, '0', 'a')];
  expect(new Set(streams.flat()).size).toBe(24);
});

test('random numbers of neighbouring keys are uniform and independent', () => {
  // χ² of 64 cells over the first two numbers of 64,000 neighbouring keys: 63 degrees of freedom, 99.9 % below 103.4.
  const counts = new Array<number>(64).fill(0);
  for (let key = 0; key < 64_000; key++) {
    const random = randomStream(7, 0, `sample ${key}`);
    const cell = Math.floor(random() * 8) * 8 + Math.floor(random() * 8);
    counts[cell] = (counts[cell] as number) + 1;
  }
  const chi = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
  expect(chi).toBeLessThan(103.4);
});

test('every order of three is as likely', () => {
  const counts = new Map<string, number>();
  for (let key = 0; key < 6000; key++) {
    const order = permutation(3, randomStream('order', key)).join('');
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  expect(counts.size).toBe(6);
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(120); // over 4 standard deviations
});

test('transforms: what they are unless told, and what is refused', () => {
  expect(trainTransform({ size: 364 })).toMatchObject({ size: 364, crop: { scale: [0.5, 1], ratio: [3 / 4, 4 / 3] }, flip: 0.5 });
  expect(evalTransform()).toMatchObject({ size: 224, crop: null, flip: 0 });
  for (const [argument, options] of [
    ['size', { size: 0 }],
    ['flip', { flip: 1.5 }],
    ['crop.scale', { crop: { scale: [0.5, 1.5], ratio: [1, 1] } }],
    ['crop.ratio', { crop: { scale: [0.5, 1], ratio: [2, 1] } }],
    ['imageStd', { imageStd: [1, 0, 1] }],
    ['imageStd', { imageStd: 1 }],
    ['imageMean', { imageMean: [0.5] }],
    ['crop', { crop: 'middle' }],
    ['crop.ratio', { crop: { scale: [0.5, 1] } }],
    ['applyOrientation', { applyOrientation: 1 }],
    ['options', { sise: 364 }],
    ['options', null],
  ] as const) {
    expect(() => trainTransform(options as object)).toThrow(expect.objectContaining({ name: 'ArgumentError', argument }));
  }
});
