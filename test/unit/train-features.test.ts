import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  ArgumentError,
  building,
  type CachedBatch,
  ClipVisionModel,
  cachedBatches,
  evalTransform,
  FeatureCache,
  FileError,
  FrozenEncoder,
  Generator,
  ImageProcessor,
  jsonLines,
  memory,
  parseClipVisionConfig,
  parseVisionConfig,
  randn,
  scope,
  setThreads,
  type Tensor,
  threads,
  trainTransform,
  VisionModel,
  webDataset,
} from '../../src/index.ts';
import { expectClose } from '../closeness.ts';
import { tarMember, tarOf } from '../support/tar.ts';

// One thread: several test files run at a time, and threads that wait for each other's cores would take minutes.
const initial = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(initial));

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-features-'));
afterAll(() => fs.rmSync(root, { recursive: true }));
const photos = path.join(import.meta.dirname, '../fixtures/photos');
const NAMES = ['camera.png', 'coffee.png', 'rocket.jpg'];
const captions = path.join(root, 'captions.jsonl');
fs.writeFileSync(
  captions,
  NAMES.flatMap((image) =>
    ['A photo (of it).', 'another'].map((caption) => `${JSON.stringify({ image, caption, image_id: image })}\n`),
  ).join(''),
);

const shape = {
  hidden_size: 16,
  num_attention_heads: 2,
  intermediate_size: 32,
  num_hidden_layers: 2,
  image_size: 32,
  patch_size: 16,
};
const tower = (seed = 1): VisionModel =>
  building({ generator: new Generator(seed) }, () => new VisionModel(parseVisionConfig({ ...shape, initializer_range: 0.2 })));
const transform = evalTransform({ size: 32 });
const open = async (options: Partial<Parameters<typeof FeatureCache.open>[0]> = {}): Promise<FeatureCache> => {
  const dataset = await jsonLines(captions, { images: photos });
  return FeatureCache.open({
    directory: path.join(root, 'cache'),
    encoder: new FrozenEncoder(tower()),
    dataset,
    transform,
    workers: 0,
    ...options,
  });
};
const folders = (): string[] => fs.readdirSync(path.join(root, 'cache'));

describe('a frozen encoder', () => {
  test('gives the features before the last LayerNorm, without gradients, in evaluation mode', () => {
    const model = tower();
    const pictures = randn([2, 3, 32, 32], { generator: new Generator(2) });
    const encoder = new FrozenEncoder(model);
    scope(() => {
      const features = encoder.encode(pictures);
      expect([features.shape, features.requiresGrad, model.training]).toEqual([[2, 5, 16], false, false]);
      expectClose(model.postLayernorm.forward(features), model.forward(pictures).lastHiddenState);
      const { hiddenStates } = model.forward(pictures, { hiddenStates: true });
      expectClose(features, hiddenStates?.at(-1) as Tensor);
    });
  });

  test('of a CLIP tower, too', () => {
    const model = building({ generator: new Generator(3) }, () => new ClipVisionModel(parseClipVisionConfig(shape)));
    const pictures = randn([2, 3, 32, 32], { generator: new Generator(2) });
    scope(() => expectClose(new FrozenEncoder(model).encode(pictures), model.forward(pictures).lastHiddenState));
  });

  test('in bfloat16 is near the one in float32', () => {
    const pictures = randn([2, 3, 32, 32], { generator: new Generator(2) });
    const [exact, short] = [new FrozenEncoder(tower()), new FrozenEncoder(tower(), 'bfloat16')];
    scope(() => {
      const [a, b] = [exact.encode(pictures), short.encode(pictures)];
      expect(b.dtype).toBe('bfloat16');
      expect(a.sub(b.float()).norm().item()).toBeLessThan(0.03 * a.norm().item());
    });
  });

  test('has a fingerprint of its weights', () => {
    const print = new FrozenEncoder(tower()).fingerprint();
    expect(print).toMatch(/^[0-9a-f]{64}$/);
    expect(new FrozenEncoder(tower()).fingerprint()).toBe(print);
    expect(new FrozenEncoder(tower(2)).fingerprint()).not.toBe(print);
    expect(new FrozenEncoder(tower(), 'bfloat16').fingerprint()).not.toBe(print);
  });
});

describe('a cache of features', () => {
  test('holds what the encoder gives, each picture once, and is made once', async () => {
    const progress: number[] = [];
    const encoder = new FrozenEncoder(tower());
    const cache = await open({ encoder, batchSize: 4, onProgress: (pictures) => void progress.push(pictures) });
    expect([cache.size, cache.has('coffee.png'), cache.has('tea.png'), progress.at(-1)]).toEqual([3, true, false, 3]);
    const processor = new ImageProcessor({ size: { height: 32, width: 32 } });
    const pixels = await processor.preprocess(['rocket.jpg', 'camera.png', 'rocket.jpg'].map((name) => path.join(photos, name)));
    scope(() => expectClose(cache.features(['rocket.jpg', 'camera.png', 'rocket.jpg']), encoder.encode(pixels)));
    expect(() => cache.features(['tea.png'])).toThrow('but received "tea.png"');
    cache.close();
    expect(fs.readdirSync(cache.folder).sort()).toEqual(['features.bin', 'index.json']);
    const built: number[] = [];
    const again = await open({ encoder, onProgress: (pictures) => void built.push(pictures) });
    expect(built).toEqual([]); // nothing is encoded again
    expect(again.folder).toBe(cache.folder);
    again.close();
  });

  test('is another one for other weights or settings', async () => {
    const all = [
      await open(),
      await open({ encoder: new FrozenEncoder(tower(2)) }),
      await open({ encoder: new FrozenEncoder(tower(), 'bfloat16') }),
    ];
    const orientation = { ...transform, applyOrientation: false };
    all.push(await open({ transform: orientation }));
    expect(new Set(all.map(({ folder }) => folder)).size).toBe(4);
    expect(folders()).toHaveLength(4);
    scope(() => expect(all[2]?.features(['coffee.png']).dtype).toBe('bfloat16'));
    for (const cache of all) cache.close();
  });

  test('is another one for other pictures of the same names', async () => {
    const folders = ['one', 'other'].map((name) => path.join(root, name));
    for (const [i, folder] of folders.entries()) {
      fs.mkdirSync(folder);
      fs.copyFileSync(path.join(photos, NAMES[i] as string), path.join(folder, '1.png'));
      fs.writeFileSync(path.join(folder, 'captions.jsonl'), `${JSON.stringify({ image: '1.png', caption: 'a photo' })}\n`);
    }
    const sums: number[] = [];
    for (const folder of folders) {
      const cache = await open({ dataset: await jsonLines(path.join(folder, 'captions.jsonl')) });
      sums.push(scope(() => cache.features(['1.png']).sum().item()));
      cache.close();
      fs.rmSync(cache.folder, { recursive: true });
    }
    expect(sums[0]).not.toBe(sums[1]);
  });

  test('is another one where a tar has been added', async () => {
    const folder = path.join(root, 'tars');
    fs.mkdirSync(folder);
    const photo = fs.readFileSync(path.join(photos, 'coffee.png'));
    const sizes: number[] = [];
    for (const i of [0, 1, 2]) {
      const names = Array.from({ length: 20 }, (_, j) => `${i}-${j}`);
      const members = names.flatMap((name) => [tarMember(`${name}.png`, photo), tarMember(`${name}.txt`, 'a photo')]);
      fs.writeFileSync(path.join(folder, `${i}.tar`), tarOf(...members));
      if (i === 0) continue; // one tar alone goes by its own name
      const cache = await open({ dataset: await webDataset(folder) });
      sizes.push(cache.size);
      cache.close();
    }
    expect(sizes).toEqual([40, 60]);
  });

  test.each([
    [trainTransform({ size: 32 }), 'random crops'],
    [evalTransform({ size: 32, flip: 0.5 }), 'flip 0.5'],
  ])('is refused for pictures that are never the same', async (random, received) => {
    const refused = open({ transform: random });
    await expect(refused).rejects.toThrow(ArgumentError);
    await expect(refused).rejects.toThrow(
      `as cached features are of one view of each picture, for transform but received ${received}`,
    );
  });

  test('appears whole or not at all', async () => {
    const encoder = new FrozenEncoder(tower(7));
    const before = folders();
    const failing = open({
      encoder,
      batchSize: 2,
      onProgress: () => {
        throw new RangeError('stopped');
      },
    });
    await expect(failing).rejects.toThrow('stopped');
    expect(fs.readdirSync(path.join(root, 'cache'))).toEqual(before);
    const cache = await open({ encoder });
    cache.close();
    const file = path.join(cache.folder, 'features.bin');
    fs.truncateSync(file, fs.statSync(file).size - 8);
    await expect(open({ encoder })).rejects.toThrow(
      /features\.bin: expected \d+ bytes but it has \d+; remove .* to make it again/,
    );
    fs.writeFileSync(path.join(cache.folder, 'index.json'), '{"format":1,"dtype":"float32","shape":[3,-1,2]}');
    await expect(open({ encoder })).rejects.toThrow(FileError);
  });

  test('is not made any further once its signal is aborted, and nothing is left of it', async () => {
    const directory = path.join(root, 'aborted');
    fs.mkdirSync(directory);
    const controller = new AbortController();
    const done: number[] = [];
    const onProgress = (count: number): void => {
      done.push(count);
      setImmediate(() => controller.abort(new Error('enough'))); // from the outside: not within the same turn
    };
    await expect(open({ directory, batchSize: 2, onProgress, signal: controller.signal })).rejects.toThrow('enough');
    expect([done, fs.readdirSync(directory)]).toEqual([[1], []]);
    await expect(open({ directory, signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before');
    await expect(open({ directory, signal: 1 as never })).rejects.toThrow(ArgumentError);
    (await open({ directory, signal: new AbortController().signal })).close();
    expect(fs.readdirSync(directory)).toHaveLength(1);
  });

  test('gives batches without opening a picture, in an order that goes on where it was', async () => {
    const cache = await open();
    const dataset = await jsonLines(captions, { images: photos });
    const options = { batchSize: 4, seed: 3 };
    const drawn = async (stream: ReturnType<typeof cachedBatches>, count: number): Promise<string[]> => {
      const found: string[] = [];
      for (let i = 0; i < count; i++) {
        const { value } = (await stream.next()) as { value: { captions: string[]; imageFeatures: Tensor; imageIds: Tensor } };
        const mark = value.imageFeatures.select(1, 0).select(1, 0).toArray() as number[];
        found.push(...value.captions.map((caption, row) => `${caption} ${mark[row]}`));
        expect(value.imageFeatures.shape).toEqual([4, 5, 16]);
        value.imageFeatures.dispose();
        value.imageIds.dispose();
      }
      return found;
    };
    const whole = await drawn(cachedBatches(dataset, cache, options), 6);
    expect(new Set(whole).size).toBe(6); // three pictures with two captions
    expect(whole.every((text) => /^(a photo of it|another) /.test(text))).toBe(true);
    const stream = cachedBatches(dataset, cache, options);
    const first = await drawn(stream, 2);
    const rest = await drawn(cachedBatches(dataset, cache, { ...options, state: JSON.parse(JSON.stringify(stream.state())) }), 4);
    expect([...first, ...rest]).toEqual(whole);
    expect(() => cachedBatches(dataset, cache, { ...options, seed: 4, state: stream.state() })).toThrow(
      'expected 4 for state.seed but received 3',
    );
    cache.close();
  });

  test('passes over captions of which nothing is left', async () => {
    const cache = await open();
    const file = path.join(root, 'empty.jsonl');
    const texts = ['', '(...)', 'a cup'];
    fs.writeFileSync(
      file,
      texts.map((caption) => `${JSON.stringify({ image: NAMES[1], caption, image_id: NAMES[1] })}\n`).join(''),
    );
    const batches = cachedBatches(await jsonLines(file), cache, { batchSize: 2 });
    const value = (await batches.next()).value as CachedBatch;
    expect(value.captions).toEqual(['a cup', 'a cup']);
    value.imageFeatures.dispose();
    value.imageIds.dispose();
    await batches.close();
    cache.close();
  });

  test('of other pictures is refused, instead of looked through for ever', async () => {
    const cache = await open();
    const file = path.join(root, 'others.jsonl');
    fs.writeFileSync(file, `${JSON.stringify({ image: 'tea.png', caption: 'tea' })}\n`);
    const batches = cachedBatches(await jsonLines(file), cache, { batchSize: 2 });
    await expect(batches.next()).rejects.toThrow('expected a cache with pictures of the data set for cache');
    await batches.close();
    cache.close();
  });

  test('leaves no tensors behind', async () => {
    const cache = await open();
    const before = memory().tensors;
    scope(() => void cache.features(['coffee.png']));
    expect(memory().tensors).toBe(before);
    cache.close();
    expect(memory().tensors).toBe(before - 1);
  });
});
