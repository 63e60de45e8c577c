import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  ArgumentError,
  evaluateRetrieval,
  FileError,
  fromTypedArray,
  type GalleryBatch,
  memory,
  type RetrievalEvaluationOptions,
  type RetrievalProgress,
  type RetrievalResult,
  scope,
  setThreads,
  type Tensor,
  tensor,
} from '../../src/index.ts';
import { best, decode, orderOf } from '../../src/tasks/retrieval/ranks.ts';
import { listsOf, numbers, ranked, recall, type Scores, tokenizer, WholeNumbers } from '../support/retrieval.ts';

setThreads(1);

const dist = (file: string): string => pathToFileURL(path.join(import.meta.dirname, '../../dist', file)).href;

interface World {
  readonly pictures: readonly (readonly number[])[];
  readonly captions: readonly (readonly string[])[];
}

/** Pictures of few different features, and captions of few different words, of three to six. */
function world(count: number, captions: (picture: number) => number, seed = 1): World {
  const next = numbers(seed);
  const word = (): number => 4 + Math.floor(3 * next());
  return {
    pictures: Array.from({ length: count }, (_, i) => [...Array.from({ length: 6 }, () => word() - 5), i]),
    captions: Array.from({ length: count }, (_, i) =>
      Array.from({ length: captions(i) }, () => Array.from({ length: 3 + Math.floor(4 * next()) }, word).join(' ')),
    ),
  };
}

/** Batches of a few pictures, as they come from somewhere; counts those that are disposed of. */
function* gallery({ pictures, captions }: World, size = 3, disposed = { count: 0 }): Generator<GalleryBatch> {
  for (let at = 0; at < pictures.length; at += size) {
    const rows = pictures.slice(at, at + size);
    const pixelValues = fromTypedArray(Float32Array.from(rows.flat()), [rows.length, 7]);
    const dispose = (): void => {
      disposed.count++;
      pixelValues.dispose();
    };
    yield { pixelValues, allCaptions: captions.slice(at, at + size), dispose };
  }
}

/** Every pair's scores, one pair at a time. */
function scoresOf({ pictures, captions }: World): Scores & { owners: number[] } {
  const words = captions.flat().map((text) => text.split(' ').map(Number));
  const cosine = (picture: readonly number[], text: readonly number[]): number =>
    Math.max(
      ...[0, 3].map((at) => [0, 1, 2].reduce((sum, i) => sum + (picture[at + i] as number) * ((text[i] as number) - 5), 0)),
    );
  const logit = (picture: readonly number[], text: readonly number[]): number =>
    (((picture[6] as number) * 7 + [0, 1, 2].reduce((sum, i) => sum + (i + 1) * (text[i] as number), 0)) % 5) - 2;
  return {
    cosines: pictures.map((picture) => words.map((text) => cosine(picture, text))),
    logits: pictures.map((picture) => words.map((text) => logit(picture, text))),
    owners: captions.flatMap((own, picture) => own.map(() => picture)),
  };
}

async function expectAsBruteForce(
  here: World,
  options: Partial<RetrievalEvaluationOptions> = {},
  size = 3,
): Promise<RetrievalResult> {
  const model = new WholeNumbers();
  const result = await evaluateRetrieval(model, gallery(here, size), { tokenizer, ...options });
  const { owners, ...scores } = scoresOf(here);
  expect(result.pictures).toBe(here.pictures.length);
  expect(result.texts).toEqual(here.captions.flat());
  expect(result.owners).toEqual(owners);
  const { topK = 128, recallAt = [1, 5, 10] } = options;
  const depth = Math.max(topK, ...recallAt);
  const cut = (lists: number[][]): number[][] => lists.map((list) => list.slice(0, depth));
  const of = (k: number) => {
    const whole = ranked(scores, k);
    return { imageToText: cut(whole.imageToText), textToImage: cut(whole.textToImage) };
  };
  expect(listsOf(result.contrast)).toEqual(of(0));
  if (topK === 0) expect(result.matched).toBeNull();
  else expect(listsOf(result.matched as RetrievalResult['contrast'])).toEqual(of(topK));
  const whole = ranked(scores, topK);
  for (const k of recallAt) {
    const texts = recall(whole.imageToText, (picture, text) => owners[text] === picture, k);
    const images = recall(whole.textToImage, (text, picture) => owners[text] === picture, k);
    expect(result.metrics[`imageToTextRecall${k}`]).toBeCloseTo(texts, 10);
    expect(result.metrics[`textToImageRecall${k}`]).toBeCloseTo(images, 10);
  }
  return result;
}

describe('against every pair, one at a time', () => {
  test.each([
    ['several captions a picture, many ties', world(23, (i) => 1 + (i % 4)), { topK: 6 }],
    ['few candidates', world(23, () => 2, 5), { topK: 1, recallAt: [1, 2, 30] }],
    ['more candidates than there are', world(7, () => 3, 2), { topK: 128 }],
    ['one caption each', world(12, () => 1, 3), { topK: 4 }],
    ['pictures without captions', world(20, (i) => (i % 3 === 0 ? 2 : 0), 4), { topK: 5 }],
    ['one picture only', world(1, () => 5, 6), { topK: 3 }],
    ['one pair only', world(1, () => 1, 7), {}],
    ['the contrast alone', world(23, (i) => 1 + (i % 4), 8), { topK: 0 }],
    ['small batches', world(23, (i) => 1 + (i % 4), 9), { topK: 6, textBatch: 2, matchBatch: 3 }],
    ['more than a block of pictures', world(140, () => 1, 10), { topK: 9 }],
  ] as const)('%s', async (_, here, options) => {
    await expectAsBruteForce(here, options);
  });

  test('a temporary file changes nothing, and is not there afterwards', async () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-test-'));
    const seen = new Set<string>();
    const onProgress = (): void => {
      for (const name of fs.readdirSync(directory)) seen.add(name);
    };
    // What a process has left that is no more, and what is another's that still is.
    const dead = spawnSync(process.execPath, ['-e', '']).pid;
    fs.writeFileSync(path.join(directory, `blip2-retrieval-${dead}-0123456789ab.tmp`), '');
    const alive = `blip2-retrieval-${process.ppid}-0123456789ab.tmp`;
    fs.writeFileSync(path.join(directory, alive), '');
    const here = world(23, (i) => 1 + (i % 4), 11);
    const spilled = await expectAsBruteForce(here, { topK: 6, maxBytes: 50, directory, onProgress });
    const kept = await expectAsBruteForce(here, { topK: 6 });
    expect(spilled.metrics).toEqual(kept.metrics);
    // On Linux it never has a name for long.
    expect(seen.size).toBe(process.platform === 'linux' ? 1 : 3);
    expect(fs.readdirSync(directory)).toEqual([alive]);
    fs.rmSync(directory, { recursive: true });
  });

  test('a reader that is killed leaves no temporary file', async () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-test-'));
    const code = `import { randn } from ${JSON.stringify(dist('index.js'))};
      import { RowStore } from ${JSON.stringify(dist('tasks/retrieval/row-store.js'))};
      const store = new RowStore(0, ${JSON.stringify(directory)});
      store.append(randn([4, 5]));
      console.log(store.spilled);
      process.kill(process.pid, 'SIGKILL');`;
    const { signal, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
    expect([signal, stdout]).toEqual(['SIGKILL', 'true\n']);
    expect(fs.readdirSync(directory)).toHaveLength(process.platform === 'linux' ? 0 : 1);
    await expectAsBruteForce(
      world(5, () => 1, 2),
      { topK: 2, maxBytes: 0, directory },
    );
    expect(fs.readdirSync(directory)).toEqual([]);
    fs.rmSync(directory, { recursive: true });
  });

  test('a match tells what it is ranked by', async () => {
    const here = world(9, () => 2, 12);
    const { cosines, logits, owners } = scoresOf(here);
    const { matched, contrast } = await expectAsBruteForce(here, { topK: 3, recallAt: [1, 5] });
    const own = matched?.imageToText.best(2) ?? [];
    expect(own).toHaveLength(5);
    for (const [rank, match] of own.entries()) {
      const cosine = cosines[2]?.[match.index] as number;
      expect(match.cosine).toBe(cosine);
      expect(match.matching).toBe(rank < 3 ? logits[2]?.[match.index] : null);
      expect(match.score).toBe(rank < 3 ? cosine + (logits[2]?.[match.index] as number) : -100);
      expect(match.correct).toBe(owners[match.index] === 2);
    }
    const [first] = contrast.textToImage.best(4, 1);
    expect(first).toMatchObject({ matching: null, score: first?.cosine });
  });
});

describe('work', () => {
  test('matches every pair once, at most so many at a time', async () => {
    const model = new WholeNumbers();
    const here = world(23, () => 1, 13);
    await evaluateRetrieval(model, gallery(here), { tokenizer, topK: 23, matchBatch: 10 });
    expect(model.asked).toHaveLength(23 * 23);
    const texts = new Map(model.asked.map(([picture]) => [picture, new Set<string>()]));
    for (const [picture, words] of model.asked) texts.get(picture)?.add(words);
    const words = new Set(here.captions.flat().map((text) => text.split(' ').slice(0, 3).join(' ')));
    for (const own of texts.values()) expect(own).toEqual(words);
    expect(model.most).toBe(10);
  });

  test('tells how far it is, and gives batches back', async () => {
    const disposed = { count: 0 };
    const seen: RetrievalProgress[] = [];
    const here = world(7, () => 2, 14);
    await evaluateRetrieval(new WholeNumbers(), gallery(here, 3, disposed), {
      tokenizer,
      onProgress: (progress) => seen.push(progress),
    });
    const few: RetrievalProgress[] = [];
    const options = { tokenizer, topK: 2, matchBatch: 3, onProgress: (progress: RetrievalProgress) => few.push(progress) };
    await evaluateRetrieval(new WholeNumbers(), gallery(here), options);
    const matching = few.filter(({ phase }) => phase === 'matching');
    expect(matching.length).toBeGreaterThan(1);
    expect(new Set(matching.map(({ total }) => total))).toEqual(new Set([matching.at(-1)?.done]));
    expect(matching.at(-1)?.done).toBeLessThan(7 * 14);
    expect(disposed.count).toBe(3);
    expect([...new Set(seen.map(({ phase }) => phase))]).toEqual(['pictures', 'texts', 'similarities', 'matching']);
    expect(seen.filter(({ phase }) => phase === 'pictures').map(({ done }) => done)).toEqual([3, 6, 7]);
    expect(seen.at(-1)).toEqual({ phase: 'matching', done: 7 * 14, total: 7 * 14 });
  });

  test('encodes pixels with the encoder that is given', async () => {
    const here = world(5, () => 2, 15);
    const doubled = { ...here, pictures: here.pictures.map((row) => row.map((x) => 2 * x)) };
    const plain = await evaluateRetrieval(new WholeNumbers(), gallery(here), { tokenizer });
    const encoder = { encode: (pixels: Tensor) => pixels.div(2) };
    const encoded = await evaluateRetrieval(new WholeNumbers(), gallery(doubled), { tokenizer, encoder });
    expect(encoded.metrics).toEqual(plain.metrics);
  });

  test('leaves no tensor behind, whatever happens', async () => {
    const here = world(23, (i) => 1 + (i % 4), 16);
    const run = (options: Partial<RetrievalEvaluationOptions> = {}, model = new WholeNumbers()): Promise<RetrievalResult> =>
      evaluateRetrieval(model, gallery(here), { tokenizer, ...options }).finally(() => model.queryTokens.dispose());
    await run();
    const before = memory().tensors;
    await run();
    await run({ maxBytes: 0 });
    for (const phase of ['pictures', 'texts', 'similarities', 'matching']) {
      const abort = new AbortController();
      const onProgress = (progress: RetrievalProgress): void => {
        if (progress.phase === phase) abort.abort(new Error(phase));
      };
      const aborted = run({ signal: abort.signal, onProgress, textBatch: 5, matchBatch: 5, topK: 4 });
      await expect(aborted).rejects.toThrow(phase);
    }
    const broken = new WholeNumbers();
    broken.match = () => {
      throw new Error('no match');
    };
    await expect(run({}, broken)).rejects.toThrow('no match');
    expect(memory().tensors).toBe(before);
  });
});

describe('what is refused', () => {
  const here = world(3, () => 1, 17);
  const run = (options: object, batches: Iterable<GalleryBatch> = gallery(here)): Promise<RetrievalResult> =>
    evaluateRetrieval(new WholeNumbers(), batches, { tokenizer, ...options } as RetrievalEvaluationOptions);

  test.each([
    ['topK', -1],
    ['topK', 1.5],
    ['recallAt', []],
    ['recallAt', [0]],
    ['maxLength', 2],
    ['textBatch', 0],
    ['matchBatch', '8'],
    ['maxBytes', Number.NaN],
    ['precision', 'float16'],
    ['keepAs', 'int8'],
    ['directory', 7],
    ['tokenizer', {}],
    ['encoder', {}],
    ['signal', {}],
    ['topk', 5],
  ])('%s %p', async (name, value) => {
    const error = await run({ [name]: value }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ArgumentError);
    expect(error).toMatchObject({ argument: name });
  });

  test('galleries without pictures or captions, and batches that do not fit', async () => {
    await expect(run({}, [])).rejects.toThrow(/expected pictures for gallery/);
    await expect(run({}, gallery(world(3, () => 0)))).rejects.toThrow(/pictures with captions/);
    await expect(run({}, [{ allCaptions: [['4 4 4']] }])).rejects.toThrow(/pixelValues or imageFeatures/);
    const pixelValues = tensor([[0, 0, 0, 0, 0, 0, 0]]);
    await expect(run({}, [{ pixelValues, allCaptions: [] }])).rejects.toThrow(/lists for 1 pictures/);
    await expect(run({}, [{ pixelValues, allCaptions: ['4 4 4'] as unknown as string[][] }])).rejects.toThrow(/allCaptions/);
  });

  test('a model in training mode, and a folder that is not there', async () => {
    const training = Object.assign(new WholeNumbers(), { training: true });
    await expect(evaluateRetrieval(training, gallery(here), { tokenizer })).rejects.toThrow(/evaluation mode/);
    await expect(run({ maxBytes: 0, directory: '/nowhere' })).rejects.toThrow(FileError);
  });
});

describe('order of scores', () => {
  const SPECIAL = [0, -0, 1, -1, 0.1, -0.1, 1e-40, -1e-40, 3e38, -3e38, Infinity, -Infinity, Number.NaN];

  test('grows with them; zeros are equal, and NaN is as low as can be', () => {
    scope(() => {
      const order = orderOf(tensor([SPECIAL])).data() as BigInt64Array;
      const values = SPECIAL.map((value) => (Number.isNaN(value) ? -Infinity : value));
      for (const [i, a] of values.entries()) {
        for (const [j, b] of values.entries()) {
          expect([i, j, (order[i] as bigint) < (order[j] as bigint)]).toEqual([i, j, Math.fround(a) < Math.fround(b)]);
        }
      }
    });
  });

  test('the best of blocks are the best of all, equal ones as they come', () => {
    const next = numbers(3);
    const [rows, columns, depth] = [5, 40, 7];
    const scores = Array.from({ length: rows }, () => Array.from({ length: columns }, () => Math.floor(6 * next()) / 8 - 0.25));
    scope(() => {
      const order = orderOf(tensor(scores));
      let keys: Tensor | null = null;
      for (const [from, count] of [
        [0, 3],
        [3, 30],
        [33, 7],
      ] as const) {
        keys = best(keys, order.narrow(1, from, count), from, depth);
      }
      const found = decode(keys as Tensor);
      for (const [r, row] of scores.entries()) {
        const expected = row
          .map((score, index) => ({ score, index }))
          .sort((a, b) => b.score - a.score || a.index - b.index)
          .slice(0, depth);
        expect([...found.candidates.subarray(r * depth, (r + 1) * depth)]).toEqual(expected.map(({ index }) => index));
        expect([...found.scores.subarray(r * depth, (r + 1) * depth)]).toEqual(expected.map(({ score }) => score));
      }
    });
  });
});
