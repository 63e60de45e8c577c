import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  ArgumentError,
  Blip2,
  Blip2Retrieval,
  type EncodedImage,
  FileError,
  ImageError,
  type ModelOptions,
  WorkerError,
} from '../../src/index.ts';
import { generativeCheckpoint, photos, retrievalCheckpoint } from '../support/checkpoints.ts';

const [chelsea, coffee, rocket] = photos as [string, string, string];
const SIX = [chelsea, coffee, rocket, coffee, chelsea, rocket];
const QUESTIONS = [
  'what is it?',
  'what colour is the thing in the middle?',
  'why?',
  'is it day?',
  'who is there, and when?',
  'what?',
];
const SHORT = { maxNewTokens: 6 };
const LONG = { minNewTokens: 100, maxNewTokens: 100, batchSize: 1 };
let folder: string;
/** Models of one, two and three workers. */
let pools: readonly [Blip2, Blip2, Blip2];

beforeAll(async () => {
  folder = generativeCheckpoint();
  const open = (workers: number): Promise<Blip2> => Blip2.fromPretrained(folder, { threads: 1, workers });
  pools = [await open(1), await open(2), await open(3)];
});
afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.close()));
  fs.rmSync(folder, { recursive: true });
});

/** What all pools say, which is the same. */
async function agreed<T>(ask: (blip2: Blip2) => Promise<T>): Promise<T> {
  const [one, ...others] = await Promise.all(pools.map(ask));
  for (const other of others) expect(other).toEqual(one);
  return one as T;
}

async function streamed(blip2: Blip2, images: string[]): Promise<string[]> {
  const texts = images.map(() => '');
  for await (const { index, text } of blip2.streamCaption(images, SHORT)) texts[index] += text;
  return texts;
}

describe('what is said does not depend on the number of workers', () => {
  test.each([1, 2, 8])('in batches of %i', async (batchSize) => {
    const captions = await agreed((blip2) => blip2.caption(SIX, { ...SHORT, batchSize }));
    expect(captions).toHaveLength(6);
    expect(new Set(captions).size).toBe(3);
    await agreed((blip2) => blip2.answer(SIX, QUESTIONS, { batchSize }));
    const own = QUESTIONS.map((_, i) => ['yes', `no ${i}`, 'a red cup'].slice(0, 2 + (i % 2)));
    const ranked = await Promise.all(pools.map((blip2) => blip2.rank(SIX, QUESTIONS, own, { batchSize })));
    for (const [i, rows] of ranked.entries()) {
      for (const [row, answers] of rows.entries()) {
        expect(answers).toHaveLength(own[row]?.length as number);
        for (const [j, { answer, logLikelihood }] of answers.entries()) {
          expect(answer).toBe(ranked[0]?.[row]?.[j]?.answer);
          expect(Math.abs(logLikelihood - (ranked[0]?.[row]?.[j]?.logLikelihood as number))).toBeLessThan(i === 0 ? 1e-12 : 1e-4);
        }
      }
    }
  });

  test('of one picture, and of fewer than there are workers', async () => {
    expect(await agreed((blip2) => blip2.caption(coffee, SHORT))).toBe((await pools[0].caption(SIX, SHORT))[1]);
    await agreed((blip2) => blip2.caption([coffee], SHORT));
    await agreed((blip2) => blip2.answer([rocket, coffee], 'what is it?'));
    expect(await agreed((blip2) => blip2.countTokens('what is it?'))).toBeGreaterThan(3);
    await agreed(async (blip2) => [blip2.languageModel, blip2.promptRoom(20)]);
  });

  test('streamed, every piece with its place in the list', async () => {
    const texts = await agreed((blip2) => streamed(blip2, SIX));
    expect(texts).toEqual(await pools[2].caption(SIX, { ...SHORT, numBeams: 1 }));
  });

  test('drawn, as a seed serves every picture alike', async () => {
    const drawn = await agreed((blip2) => blip2.caption(SIX, { ...SHORT, numBeams: 1, doSample: true, temperature: 2, seed: 7 }));
    expect(drawn).not.toEqual(await pools[0].caption(SIX, { ...SHORT, numBeams: 1 }));
  });

  test('of encoded pictures, wherever they are held, mixed with others', async () => {
    await agreed(async (blip2) => {
      const held = await blip2.encode(SIX.slice(0, 5), { batchSize: 2 });
      const [a, b, c, d, e] = held as [EncodedImage, EncodedImage, EncodedImage, EncodedImage, EncodedImage];
      const texts = [
        await blip2.caption(held, SHORT),
        await blip2.answer([e, rocket, a, coffee, d, b], QUESTIONS),
        await blip2.answer([c, c, c], QUESTIONS.slice(0, 3)),
        [await blip2.caption(d, SHORT)],
        (await blip2.rank([rocket, e, a], 'what is it?', ['a cup', 'a cat'])).map(([best]) => best?.answer),
      ];
      for (const image of held) image.dispose();
      expect(texts[1]).toEqual(await blip2.answer([chelsea, rocket, chelsea, coffee, coffee, coffee], QUESTIONS));
      return texts;
    });
    const held = await pools[1].encode(coffee);
    await expect(pools[2].caption(held)).rejects.toMatchObject({ argument: 'images' });
    held.dispose();
    await expect(pools[1].caption(held)).rejects.toThrow('disposed of');
  });

  test('by a retrieval model', async () => {
    const directory = retrievalCheckpoint();
    const open = (workers: number): Promise<Blip2Retrieval> => Blip2Retrieval.fromPretrained(directory, { threads: 1, workers });
    await using one = await open(1);
    await using two = await open(2);
    const numbers = async (model: Blip2Retrieval): Promise<number[]> => [
      ...(await model.match([chelsea, coffee, rocket], QUESTIONS, { batchSize: 4 }))
        .flat()
        .flatMap(({ itm, itmLogit, itc }) => [itm, itmLogit, itc]),
      ...(await model.encodeImages(SIX)).flat().flatMap((query) => [...query]),
      ...(await model.encodeTexts(QUESTIONS)).flatMap((text) => [...text]),
    ];
    const [expected, actual] = [await numbers(one), await numbers(two)];
    expect(actual).toHaveLength(expected.length);
    expect(Math.max(...expected.map((value, i) => Math.abs(value - (actual[i] as number))))).toBeLessThan(1e-5);
    fs.rmSync(directory, { recursive: true });
  });
});

test('calls of one picture are answered at the same time by several workers', async () => {
  const [one, two] = pools;
  /** Whether a short call that is made after a long one is answered before it. */
  const overtakes = async (blip2: Blip2): Promise<boolean> => {
    const stop = new AbortController();
    let going = true;
    const long = blip2
      .caption(chelsea, { ...LONG, signal: stop.signal })
      .catch(() => '')
      .finally(() => {
        going = false;
      });
    await blip2.caption(coffee, { numBeams: 1, maxNewTokens: 1 });
    const was = going;
    stop.abort();
    await long;
    return was;
  };
  expect(await overtakes(one)).toBe(false);
  expect(await overtakes(two)).toBe(true);
});

test('a signal stops all parts of a call', async () => {
  const [, two] = pools;
  const many = Array.from({ length: 20 }, () => SIX).flat();
  const stop = new AbortController();
  const reason = new Error('no longer wanted');
  const calls = [
    two.caption(many, { ...LONG, signal: stop.signal }),
    two.encode(many, { batchSize: 1, signal: stop.signal }),
    two.caption(many, { ...LONG, signal: AbortSignal.abort(reason) }),
  ];
  setTimeout(() => stop.abort(reason), 50);
  for (const { status, ...end } of await Promise.allSettled(calls))
    expect({ status, ...end }).toEqual({ status: 'rejected', reason });
  for await (const _ of two.streamCaption(many, { ...LONG, signal: undefined })) break; // leaving is stopping
  expect(await two.caption(SIX, SHORT)).toEqual(await pools[0].caption(SIX, SHORT)); // both go on
});

test('the first part that fails is the error, which names the picture by its place in the list', async () => {
  const broken = new Uint8Array([0xff, 0xd8, 0xff, 1, 2, 3]);
  const badPixels = { data: new Uint8Array(5), width: 2, height: 1, channels: 3 };
  for (const [i, blip2] of pools.entries()) {
    for (const place of [0, 3, 5]) {
      const images = SIX.map((image, j) => (j === place ? broken : image));
      for (const ask of [blip2.caption(images, { ...SHORT, batchSize: 2 }), blip2.encode(images, { batchSize: 2 })]) {
        const error = await ask.catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(ImageError);
        expect(error).toMatchObject({ file: `images[${place}]` });
        expect((error as Error).message).toMatch(`images[${place}]: `);
      }
    }
    await expect(blip2.caption([...SIX, badPixels], SHORT)).rejects.toMatchObject({ argument: 'images[6].data' });
    await expect(blip2.caption(badPixels, SHORT)).rejects.toMatchObject({ argument: 'data' });
    await expect(blip2.caption(broken, SHORT)).rejects.toMatchObject({ file: 'the given bytes' });
    const missing = path.join(folder, 'missing.png');
    await expect(blip2.caption([...SIX, missing, ...SIX], { ...LONG, batchSize: 4 })).rejects.toMatchObject({ file: missing });
    await expect(blip2.caption(SIX, { numBeams: 0 })).rejects.toMatchObject({ argument: 'numBeams' });
    const odd = { data: new Uint8Array(3), width: () => 1, height: 1 } as unknown as string;
    await expect(blip2.caption([chelsea, odd, coffee])).rejects.toMatchObject({ name: 'ArgumentError', argument: 'images' });
    expect(await blip2.caption(SIX, SHORT)).toEqual(await pools[0].caption(SIX, SHORT));
    expect(i).toBeLessThan(3);
  }
});

test('how many workers there may be is checked', async () => {
  for (const workers of [0, 1.5, '2', -1, null, Number.NaN, 1000] as unknown[]) {
    const error = await Blip2.fromPretrained(folder, { workers } as ModelOptions).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ArgumentError);
    expect(error).toMatchObject({ argument: 'workers', expected: 'an integer from 1 to 256' });
  }
  await expect(Blip2.fromPretrained(path.join(folder, 'nowhere'), { workers: 2 })).rejects.toThrow(FileError);
  await expect(Blip2.fromPretrained(folder, { workers: 2, device: 'cuda:7' })).rejects.toMatchObject({ code: 'ERR_DEVICE' });
});

test('after close, and when it closes, calls are rejected', async () => {
  const blip2 = await Blip2.fromPretrained(folder, { workers: 2 });
  const held = await blip2.encode([chelsea, coffee]);
  const rejected = expect(blip2.caption(SIX, LONG)).rejects.toMatchObject({ name: 'WorkerError', code: 'ERR_CLOSED' });
  const closing = [blip2.close(), blip2.close()];
  await rejected;
  await Promise.all(closing);
  for (const call of [blip2.caption(chelsea), blip2.caption(held), blip2.encode(SIX), blip2.countTokens('a')]) {
    await expect(call).rejects.toThrow(WorkerError);
  }
  for (const image of held) image.dispose();
  await blip2.close();
});

describe('in a process of its own', () => {
  const child = (way: string): unknown => {
    const script = fileURLToPath(new URL('../support/model-workers.mjs', import.meta.url));
    const { stdout, stderr, status } = spawnSync(process.execPath, ['--expose-gc', script, way, folder, ...photos], {
      encoding: 'utf8',
    });
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    return JSON.parse(stdout);
  };

  test('when one worker dies, what it had is rejected, and the other goes on', () => {
    const died = { code: 'ERR_WORKER', message: "the model's worker exited with code 1" };
    expect(child('dying')).toEqual({ split: died, held: ['done', died], mixed: died, later: 'done', all: died });
  });

  test('a pool that is left alone does not keep the process alive', () => {
    expect(child('idle')).toEqual({ captions: 3 });
  });

  test('workers read the same pages, so that a second one costs little', () => {
    const large = generativeCheckpoint({ hiddenSize: 256, layers: 40 });
    const script = fileURLToPath(new URL('../support/model-workers.mjs', import.meta.url));
    const { stdout, stderr } = spawnSync(process.execPath, [script, 'memory', large, ...photos], { encoding: 'utf8' });
    fs.rmSync(large, { recursive: true });
    expect(stderr).toBe('');
    const seen = JSON.parse(stdout) as { weights: number; pages: number; mappings: number };
    if (seen.pages < 0) return; // no /proc here
    // Both have the file mapped and have read it; each page is there once.
    expect(seen.mappings).toBeGreaterThanOrEqual(2);
    expect(seen.pages / seen.weights).toBeGreaterThan(0.9);
    expect(seen.pages / seen.weights).toBeLessThan(1.1);
  });
});
