import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { BrokenSamplesError, cocoCaptions, ImageError, imageFolder, webDataset } from '../../src/data/index.ts';
import { FileError } from '../../src/native/errors.ts';
import type { CaptionOptions, ImageInput } from '../../src/pipeline/index.ts';
import { type CaptionModel, type CaptionTaskOptions, evaluateCaptions, scoreCaptions } from '../../src/tasks/index.ts';
import { openFilesIn } from '../support/descriptors.ts';
import { tarMember, tarOf } from '../support/tar.ts';

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tasks-'));
});
afterEach(async () => expect(await openFilesIn(folder)).toEqual([]));
afterAll(() => fs.rmSync(folder, { recursive: true }));

/** Says of every picture which one it is, and remembers how it was called. */
class Namer implements CaptionModel {
  readonly calls: { images: readonly ImageInput[]; options: CaptionOptions | undefined }[] = [];

  async caption(images: readonly ImageInput[], options?: CaptionOptions): Promise<string[]> {
    options?.signal?.throwIfAborted();
    this.calls.push({ images, options });
    return images.map((image) => `A photo of ${typeof image === 'string' ? path.basename(image, '.jpg') : 'bytes'}.`);
  }
}

const coco = (): string => {
  const file = path.join(folder, 'coco.json');
  const names = ['ant', 'bee', 'cat', 'dog', 'emu'];
  const images = names.map((name, i) => ({ id: 10 + i, file_name: `${name}.jpg` }));
  const annotations = names.flatMap((name, i) => [
    { image_id: 10 + i, caption: `a photo of ${name}` },
    { image_id: 10 + i, caption: `the big ${name} is here` },
  ]);
  fs.writeFileSync(file, JSON.stringify({ images, annotations }));
  return file;
};

test.each([true, false])('captions every picture of a data set once, in batches; grouped: %s', async (grouped) => {
  const model = new Namer();
  const output = path.join(folder, 'results.json');
  const progress: number[][] = [];
  const onProgress: CaptionTaskOptions['onProgress'] = ({ done, total }) => progress.push([done, total]);
  const data = await cocoCaptions(coco(), { grouped });
  const { results, metrics } = await evaluateCaptions(model, data, {
    batchSize: 2,
    output,
    onProgress,
    numBeams: 3,
    prompt: undefined,
  });
  expect(results).toEqual(
    ['ant', 'bee', 'cat', 'dog', 'emu'].map((name, i) => ({ image_id: 10 + i, caption: `A photo of ${name}.` })),
  );
  expect(JSON.parse(fs.readFileSync(output, 'utf8'))).toEqual(results);
  expect(progress).toEqual([
    [2, 5],
    [4, 5],
    [5, 5],
  ]);
  expect(model.calls.map(({ images }) => images.length)).toEqual([2, 2, 1]);
  expect(model.calls[0]?.images[0]).toBe(path.join(folder, 'ant.jpg'));
  const options = { prompt: 'a photo of', numBeams: 3, minNewTokens: 8, maxNewTokens: 30, batchSize: 2 };
  expect(model.calls[0]?.options).toEqual(options);
  expect(metrics).toEqual(
    scoreCaptions(
      ['ant', 'bee', 'cat', 'dog', 'emu'].map((name) => ({
        caption: `a photo of ${name}`,
        references: [`a photo of ${name}`, `the big ${name} is here`],
      })),
    ),
  );
  expect(metrics?.bleu4).toBeCloseTo(1, 8);
});

test('told to be short, captions may be shorter than by default', async () => {
  const model = new Namer();
  const data = [{ image: 'a.jpg', imageId: 1 }];
  for (const told of [{ maxNewTokens: 5 }, { maxNewTokens: 5, minNewTokens: 2 }, { maxNewTokens: 9 }]) {
    await evaluateCaptions(model, data, told);
  }
  expect(model.calls.map(({ options }) => [options?.minNewTokens, options?.maxNewTokens])).toEqual([
    [5, 5],
    [2, 5],
    [8, 9],
  ]);
});

test("the authors' least length counts the token that T5's decoder starts from, and lengths that count the prompt take its place", async () => {
  const data = [{ image: 'a.jpg', imageId: 1 }];
  const lengths = async (languageModel: 'opt' | 't5', told: CaptionTaskOptions = {}) => {
    const model = Object.assign(new Namer(), { languageModel });
    await evaluateCaptions(model, data, told);
    const { minNewTokens, maxNewTokens, minLength, maxLength } = model.calls[0]?.options ?? {};
    return { minNewTokens, maxNewTokens, minLength, maxLength };
  };
  expect(await lengths('opt')).toEqual({ minNewTokens: 8, maxNewTokens: 30 });
  expect(await lengths('t5')).toEqual({ minNewTokens: 7, maxNewTokens: 30 });
  expect(await lengths('t5', { maxNewTokens: 4, minNewTokens: undefined })).toEqual({ minNewTokens: 4, maxNewTokens: 4 });
  expect(await lengths('t5', { minNewTokens: 0 })).toEqual({ minNewTokens: 0, maxNewTokens: 30 });
  expect(await lengths('opt', { minLength: 40 })).toEqual({ minLength: 40, maxNewTokens: 30 });
  expect(await lengths('opt', { maxLength: 40 })).toEqual({ maxLength: 40 });
});

test('pictures in tars are sent as their bytes; pictures without captions are not scored', async () => {
  const file = path.join(folder, 'a.tar');
  const members = ['x', 'y'].flatMap((key) => [tarMember(`${key}.jpg`, `bytes of ${key}`), tarMember(`${key}.txt`, 'a caption')]);
  fs.writeFileSync(file, tarOf(...members));
  const model = new Namer();
  const { results, metrics } = await evaluateCaptions(model, await webDataset(file));
  expect(results.map(({ caption }) => caption)).toEqual(['A photo of bytes.', 'A photo of bytes.']);
  expect(String(model.calls[0]?.images[1])).toBe('bytes of y');
  expect(metrics).not.toBeNull();

  const targets = [{ image: 'a.jpg', imageId: 'a' }];
  expect(await evaluateCaptions(new Namer(), targets)).toEqual({
    results: [{ image_id: 'a', caption: 'A photo of a.' }],
    metrics: null,
  });
});

test('what cannot be evaluated is refused before the model is asked', async () => {
  const model = new Namer();
  const refused = (data: Parameters<typeof evaluateCaptions>[1], options?: object): Promise<unknown> =>
    evaluateCaptions(model, data, options).catch((error: unknown) => error);
  const one = { image: 'a.jpg', imageId: 1, captions: ['a'] };
  expect(await refused([])).toMatchObject({ name: 'ArgumentError', argument: 'data' });
  expect(await refused([one, { image: 'b.jpg', imageId: 2 }])).toMatchObject({ name: 'ArgumentError', argument: 'captions' });
  for (const [options, argument] of [
    [null, 'options'],
    [{ output: 5 }, 'output'],
    [{ batchSize: 0 }, 'batchSize'],
    [{ signal: 'stop' }, 'signal'],
    [{ onProgress: 5 }, 'onProgress'],
  ] as const) {
    expect(await refused([one], options as object)).toMatchObject({ name: 'ArgumentError', argument });
  }
  const pictures = path.join(folder, 'pictures');
  fs.mkdirSync(pictures);
  fs.writeFileSync(path.join(pictures, 'a.jpg'), '');
  fs.writeFileSync(path.join(pictures, 'a.txt'), 'a caption');
  fs.writeFileSync(path.join(pictures, 'b.jpg'), '');
  expect(await refused(await imageFolder(pictures))).toBeInstanceOf(BrokenSamplesError);
  expect(model.calls).toEqual([]);
});

test('a signal stops it and no results are written; a folder that is missing is named', async () => {
  const output = path.join(folder, 'stopped.json');
  const stop = new AbortController();
  const onProgress = (): void => stop.abort(new Error('enough'));
  const targets = ['a', 'b'].map((name) => ({ image: name, imageId: name }));
  const call = evaluateCaptions(new Namer(), targets, { batchSize: 1, output, signal: stop.signal, onProgress });
  await expect(call).rejects.toThrow('enough');
  expect(fs.existsSync(output)).toBe(false);
  const nowhere = evaluateCaptions(new Namer(), targets, { output: path.join(folder, 'no/where.json') });
  await expect(nowhere).rejects.toThrow(FileError);
});

describe('pictures that cannot be used', () => {
  const pictures = Array.from({ length: 6 }, (_, i) => ({ image: `${i}.jpg`, imageId: i, captions: [`a photo of ${i}`] }));
  class Picky extends Namer {
    override async caption(images: readonly ImageInput[], options?: CaptionOptions): Promise<string[]> {
      const broken = images.find((image) => image === '1.jpg' || image === '4.jpg');
      if (broken !== undefined) throw new ImageError(broken as string, 'is none');
      return super.caption(images, options);
    }
  }

  test('end it, or are left out and named where that is told', async () => {
    await expect(evaluateCaptions(new Picky(), pictures)).rejects.toThrow(ImageError);
    const left: string[] = [];
    const progress: number[] = [];
    const options: CaptionTaskOptions = {
      batchSize: 3,
      onBroken: ({ key, problem }) => left.push(`${key}: ${problem}`),
      onProgress: ({ done }) => progress.push(done),
    };
    const { results, metrics } = await evaluateCaptions(new Picky(), pictures, options);
    expect(results.map(({ image_id, caption }) => [image_id, caption])).toEqual([0, 2, 3, 5].map((i) => [i, `A photo of ${i}.`]));
    expect(left).toEqual(['1: 1.jpg: is none', '4: 4.jpg: is none']);
    expect(progress).toEqual([3, 6]);
    const others = pictures.filter(({ imageId }) => imageId !== 1 && imageId !== 4);
    expect(metrics).toEqual((await evaluateCaptions(new Namer(), others)).metrics);
    await expect(evaluateCaptions(new Picky(), pictures, { ...options, maxBroken: 0.001 })).rejects.toThrow(BrokenSamplesError);
    const none = await evaluateCaptions(new Picky(), pictures.slice(1, 2), options);
    expect(none).toEqual({ results: [], metrics: null });
  });
});
