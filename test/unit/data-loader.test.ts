import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  ArgumentError,
  type Batch,
  BrokenSamplesError,
  cocoCaptions,
  type Dataset,
  evalTransform,
  ImageProcessor,
  imageFolder,
  jsonLines,
  type LoaderOptions,
  loader,
  memory,
  mixture,
  trainTransform,
  webDataset,
} from '../../src/index.ts';
import { openFilesIn } from '../support/descriptors.ts';
import { writePictures } from '../support/loader-data.ts';
import { tarMember, tarOf } from '../support/tar.ts';

let folder: string;
const pictures: Buffer[] = [];
const COUNT = 40;

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'loader-'));
  pictures.push(...(await writePictures(folder, COUNT)));
});
afterEach(async () => expect(await openFilesIn(folder)).toEqual([]));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const lines = (name = 'all') => jsonLines(path.join(folder, `${name}.jsonl`));
const tars = () => webDataset(path.join(folder, 'tars'), { buffer: 12 });
const small = { transform: trainTransform({ size: 24 }), batchSize: 8 };

const print = (batch: Batch): string => {
  const hash = createHash('sha256').update(batch.pixelValues.data() as Float32Array);
  return JSON.stringify([hash.digest('hex'), batch.captions, batch.imageIds.toArray(), batch.keys]);
};
/** What all batches, or the first `limit`, hold; their tensors are freed. */
const drain = async (
  dataset: Dataset,
  options: Partial<LoaderOptions> = {},
  limit = Number.POSITIVE_INFINITY,
): Promise<string[]> => {
  const all: string[] = [];
  for await (const batch of loader(dataset, { ...small, epochs: 1, workers: 0, ...options })) {
    all.push(print(batch));
    batch.dispose();
    if (all.length === limit) break;
  }
  return all;
};

test('evaluation: batches in order, bit for bit what the image processor makes', async () => {
  const transform = evalTransform({ size: 24 });
  const processor = new ImageProcessor({ size: { height: 24, width: 24 } });
  const batches: number[] = [];
  let next = 0;
  for await (using batch of loader(await lines(), { batchSize: 12, transform, shuffle: false, epochs: 1, workers: 1 })) {
    const own = pictures.slice(next, next + batch.size);
    using expected = await processor.preprocess(own);
    expect(batch.pixelValues.shape).toEqual([own.length, 3, 24, 24]);
    expect(Buffer.compare(Buffer.from(batch.pixelValues.data().buffer), Buffer.from(expected.data().buffer))).toBe(0);
    expect(batch.captions).toEqual(own.map((_, i) => `picture ${next + i}`));
    expect(batch.allCaptions).toEqual(batch.captions.map((caption) => [caption]));
    expect(batch.imageIds.toArray()).toEqual(own.map((_, i) => next + i));
    expect(batch.imageIds.dtype).toBe('int64');
    batches.push(batch.size);
    next += batch.size;
  }
  expect(batches).toEqual([12, 12, 12, 4]);
});

test('the same pictures and captions come the same from every format', async () => {
  const place = path.join(folder, 'formats');
  fs.mkdirSync(place);
  const names = pictures.slice(0, 10).map((bytes, i) => {
    const name = `${i}.${i % 3 === 0 ? 'png' : 'jpg'}`;
    fs.writeFileSync(path.join(place, name), bytes);
    fs.writeFileSync(path.join(place, `${i}.json`), JSON.stringify({ caption: `Number ${i}.`, image_id: i }));
    return name;
  });
  const json = (name: string, content: unknown) => {
    const file = path.join(place, `${name}.list`);
    fs.writeFileSync(file, JSON.stringify(content));
    return file;
  };
  const captions = names.map((_, i) => `Number ${i}.`);
  const official = json('official', {
    images: names.map((file_name, id) => ({ id, file_name })),
    annotations: captions.map((caption, image_id) => ({ image_id, caption })),
  });
  const karpathy = json('karpathy', {
    images: names.map((filename, cocoid) => ({ filename, cocoid, split: 'train', sentences: [{ raw: captions[cocoid] }] })),
  });
  const records = names.map((image, image_id) => ({ image, caption: captions[image_id], image_id }));
  const lavis = json('lavis', records);
  const linesFile = path.join(place, 'lines.list');
  fs.writeFileSync(linesFile, records.map((record) => JSON.stringify(record)).join('\n'));
  const tar = path.join(place, 'shard.tar');
  const members = names.flatMap((name, i) => [
    tarMember(name, pictures[i]),
    tarMember(`${i}.txt`, captions[i]),
    tarMember(`${i}.json`, `{"image_id":${i}}`),
  ]);
  fs.writeFileSync(tar, tarOf(...members));
  const all = [
    cocoCaptions(official),
    cocoCaptions(karpathy),
    cocoCaptions(lavis),
    jsonLines(linesFile),
    webDataset(tar),
    imageFolder(place),
  ];
  const found = new Set<string>();
  for (const dataset of await Promise.all(all)) {
    const batches = await drain(dataset, { transform: evalTransform({ size: 20 }), batchSize: 5, shuffle: false, workers: 1 });
    expect(batches).toHaveLength(2);
    found.add(JSON.stringify(batches.map((batch) => JSON.parse(batch).slice(0, 3)))); // all but the keys
  }
  expect(found.size).toBe(1);
  expect([...found][0]).toContain('"number 7"');
});

test('dropLast leaves out what fills no batch, cleanUp can be another', async () => {
  const batches = await drain(await lines(), { batchSize: 12, dropLast: true, shuffle: false, cleanUp: (caption) => caption });
  expect(batches).toHaveLength(3);
  expect(JSON.parse(batches[0] as string)[1][0]).toBe('Picture 0!');
});

test.each<[string, () => Promise<Dataset>]>([
  ['lines', lines],
  ['tars', tars],
  ['a mixture', async () => mixture([{ dataset: await tars(), weight: 1 }, await lines()])],
])('%s: batches do not depend on threads or on how far they are ahead', async (_, open) => {
  const dataset = await open();
  const options = { seed: 5, epochs: 2 };
  const expected = await drain(dataset, options);
  expect(expected.length).toBeGreaterThanOrEqual(10);
  expect(await drain(dataset, { ...options, workers: 1 })).toEqual(expected);
  expect(await drain(dataset, { ...options, workers: 3, prefetch: 5 })).toEqual(expected);
  expect(await drain(dataset, { ...options, seed: 6 })).not.toEqual(expected);
});

test('a sample’s crop depends on seed, epoch and sample, not on the order', async () => {
  const dataset = await lines();
  const pixels = async (options: Partial<LoaderOptions>) => {
    const found = new Map<string, string>();
    let samples = 0;
    for await (using batch of loader(dataset, { ...small, workers: 0, ...options })) {
      for (const [i, key] of batch.keys.entries()) {
        const epoch = Math.floor(samples++ / COUNT);
        found.set(`${key} ${epoch}`, Buffer.from(batch.pixelValues.select(0, i).contiguous().data().buffer).toString('base64'));
      }
    }
    return found;
  };
  const shuffled = await pixels({ epochs: 2 });
  expect(shuffled.size).toBe(2 * COUNT);
  expect(await pixels({ epochs: 2, shuffle: false, batchSize: 7 })).toEqual(shuffled);
  const [key] = shuffled.keys();
  const name = key?.slice(0, -2);
  expect(shuffled.get(`${name} 0`)).not.toBe(shuffled.get(`${name} 1`));
  expect((await pixels({ epochs: 1, seed: 1 })).get(`${name} 0`)).not.toBe(shuffled.get(`${name} 0`));
});

test.each<[string, () => Promise<Dataset>, number]>([
  ['lines', lines, 1],
  ['tars', tars, 1],
  ['a mixture with broken samples', async () => mixture([{ dataset: await tars(), weight: 3 }, await lines('some-broken')]), 0.1],
])('%s: a new loader goes on from any batch, bit for bit, on threads', async (_, open, maxBroken) => {
  const dataset = await open();
  const options = { ...small, batchSize: 6, seed: 2, epochs: 2, maxBroken };
  const expected: string[] = [];
  const states: string[] = [];
  const whole = loader(dataset, { ...options, workers: 2 });
  states.push(JSON.stringify(whole.state()));
  for await (using batch of whole) {
    expected.push(print(batch));
    states.push(JSON.stringify(whole.state()));
  }
  expect(expected.length).toBeGreaterThan(12);
  for (const at of [0, 1, 4, 7, 9, expected.length - 1, expected.length]) {
    const state = JSON.parse(states[at] as string);
    const again = loader(await open(), { ...options, workers: at % 3, state });
    expect(JSON.stringify(again.state())).toBe(states[at]);
    const rest: string[] = [];
    for await (using batch of again) {
      rest.push(print(batch));
      expect(JSON.parse(JSON.stringify(again.state())).samples).toBe(JSON.parse(states[at + rest.length] as string).samples);
    }
    expect(rest).toEqual(expected.slice(at));
    expect([again.samples, again.broken.count]).toEqual([whole.samples, whole.broken.count]);
  }
});

test('a state of other data, another seed or another version is refused', async () => {
  const dataset = await lines();
  const state = loader(dataset, small).state() as { [key: string]: never };
  for (const [field, options, saved] of [
    ['state.dataset', small, { ...state, dataset: 'other' }],
    ['state.length', small, { ...state, length: 7 }],
    ['state.seed', { ...small, seed: 1 }, state],
    ['state.shuffle', { ...small, shuffle: false }, state],
    ['state.version', small, { ...state, version: 2 }],
    ['state.draws', small, { ...state, draws: -1 }],
  ] as const) {
    expect(() => loader(dataset, { ...options, state: saved })).toThrow(
      expect.objectContaining({ name: 'ArgumentError', argument: field }),
    );
  }
  expect(() => loader(dataset, { ...small, state: 'x' })).toThrow(ArgumentError);
});

test('broken samples are left out, counted and named', async () => {
  const reported: string[] = [];
  const broken = loader(await lines('some-broken'), {
    ...small,
    shuffle: false,
    epochs: 1,
    workers: 1,
    onBroken: ({ key, problem }) => reported.push(`${key}: ${problem}`),
  });
  const keys: string[] = [];
  for await (using batch of broken) {
    expect(batch.size).toBe(8); // the gaps are filled
    keys.push(...batch.keys);
  }
  expect(keys).toHaveLength(COUNT);
  expect(broken.broken.count).toBe(4);
  expect(broken.broken.last.map(({ key }) => key)).toEqual([
    'line 4: cut.img',
    'line 9: text.img',
    'line 10: absent.img',
    'line 44: 0.img',
  ]);
  expect(reported).toHaveLength(4);
  expect(reported[0]).toMatch(/cut\.img: cannot be decoded/);
  expect(reported[1]).toMatch(/text\.img: expected a JPEG, PNG/);
  expect(reported[2]).toMatch(/absent\.img: cannot be read: ENOENT/);
  expect(reported[3]).toMatch(/has an empty caption/);
});

test('more than the set share of broken samples stops with a list', async () => {
  const dataset = await lines('some-broken');
  await expect(drain(dataset, { maxBroken: 0.003 })).rejects.toThrow(BrokenSamplesError);
  const error = await drain(dataset, { maxBroken: 0.002, shuffle: false, workers: 1 }).catch((reason) => reason);
  expect(error).toMatchObject({
    code: 'ERR_BROKEN_SAMPLES',
    samples: [{ key: 'line 4: cut.img' }, { key: 'line 9: text.img' }, { key: 'line 10: absent.img' }],
  });
  expect(error.message).toMatch(
    /^3 of the first 10 samples cannot be used\. The last of them:\n {2}line 4: cut\.img: .*\n {2}line 9: text\.img: .*\n {2}line 10/,
  );
  await expect(drain(dataset, { maxBroken: 0 })).rejects.toThrow(/^1 of the first/);
});

test('broken samples within the share do not stop it, however often they come', async () => {
  const dataset = await lines('some-broken');
  const options = { ...small, maxBroken: 0.004, batchSize: 40, epochs: 8, workers: 1 }; // 4 of 1,000
  const whole = loader(dataset, options);
  using first = (await whole.next()).value as Batch;
  const resumed = loader(dataset, { ...options, state: whole.state() });
  await whole.close();
  let count = first.size;
  for await (using batch of resumed) count += batch.size;
  expect([count, resumed.broken.count]).toEqual([8 * COUNT, 8 * 4]);
});

test('a damaged tar stops the loader, and the batches before it come', async () => {
  const file = path.join(folder, 'damaged.tar');
  fs.writeFileSync(file, fs.readFileSync(path.join(folder, 'tars/0.tar')).subarray(0, -2000));
  const batches = loader(await webDataset(file, { buffer: 1 }), { ...small, batchSize: 2, epochs: 1, workers: 1 });
  let count = 0;
  const all = async () => {
    for await (using batch of batches) count += batch.size;
  };
  await expect(all()).rejects.toThrow(expect.objectContaining({ name: 'TarError', message: expect.stringContaining('cut off') }));
  expect(count).toBe(8);
});

test('string ids are equal where pictures are, and never meet numbers', async () => {
  const file = path.join(folder, 'ids.jsonl');
  const ids = ['a', 'b', 'a', 7, '7', 0];
  fs.writeFileSync(file, ids.map((image_id) => JSON.stringify({ image: '0.img', caption: 'x', image_id })).join('\n'));
  for await (using batch of loader(await jsonLines(file), { ...small, shuffle: false, epochs: 1, workers: 0 })) {
    const [a, b, again, seven, text, zero] = batch.imageIds.toArray() as number[];
    expect([a === again, a === b, seven, zero]).toEqual([true, false, 7, 0]);
    for (const id of [a, b, text]) expect(id).toBeLessThan(0);
  }
});

test('grouped captions come together', async () => {
  const file = path.join(folder, 'grouped.jsonl');
  fs.writeFileSync(
    file,
    '{"image":"0.img","captions":["One.","Two."]}\n{"image":"1.img","caption":"Three"}\n{"image":"0.img","caption":"Four"}',
  );
  for await (using batch of loader(await jsonLines(file, { grouped: true }), {
    ...small,
    shuffle: false,
    epochs: 1,
    workers: 0,
  })) {
    expect(batch.allCaptions).toEqual([['one', 'two', 'four'], ['three']]);
    expect(batch.captions).toEqual(['one', 'three']);
  }
});

/** A data set that counts what is drawn from it. */
const counted = (dataset: Dataset): { dataset: Dataset; drawn: () => number; closed: () => number } => {
  let [drawn, closed] = [0, 0];
  const stream: Dataset['stream'] = (options) => {
    const inner = dataset.stream(options);
    const next = () => {
      drawn++;
      return inner.next();
    };
    const close = async () => void closed++;
    return { next, mark: () => inner.mark(), close };
  };
  return { dataset: { name: dataset.name, length: dataset.length, stream }, drawn: () => drawn, closed: () => closed };
};

test.each([0, 2])('no more than told is drawn ahead, with %i workers', async (workers) => {
  const { dataset, drawn, closed } = counted(await lines());
  const batches = loader(dataset, { ...small, batchSize: 4, prefetch: 2, workers });
  for (let step = 1; step <= 5; step++) {
    (await batches.next()).value?.dispose();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(drawn()).toBeGreaterThanOrEqual(4 * step);
    expect(drawn()).toBeLessThanOrEqual(4 * (step + 2));
  }
  await batches.close();
  expect(closed()).toBe(1);
  expect(await batches.next()).toEqual({ done: true, value: undefined });
});

test('pictures are prepared while the calling thread is busy, and waiting is reported', async () => {
  const batches = loader(await lines(), { ...small, workers: 1, prefetch: 3 });
  const first = (await batches.next()).value as Batch;
  expect(first.waited).toBeGreaterThan(0);
  expect(batches.waited).toBe(first.waited);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000); // a step that gives the event loop no turn
  const second = (await batches.next()).value as Batch;
  expect(second.waited).toBeLessThan(1000);
  expect(batches.waited).toBe(first.waited + second.waited);
  expect(batches.samples).toBe(16);
  for (const batch of [first, second]) batch.dispose();
  await batches.close();
});

test('a thread that fails ends the loader with a typed error', async () => {
  const stream: Dataset['stream'] = () => ({
    next: async () => ({
      epoch: 0,
      entry: { key: 1n as never, image: { file: path.join(folder, '0.img'), name: 'x' }, captions: ['x'], imageId: 1 },
    }),
    mark: () => () => null,
    close: async () => {},
  });
  const failing = loader({ name: 'failing', length: 1, stream }, { ...small, workers: 1 });
  await expect(failing.next()).rejects.toThrow(expect.objectContaining({ code: 'ERR_WORKER' }));
});

test('tensors and threads do not stay behind', async () => {
  const dataset = await tars();
  await drain(dataset, { workers: 1 });
  const before = memory().tensors;
  for (let i = 0; i < 3; i++) {
    await drain(dataset, { workers: 2, epochs: Number.POSITIVE_INFINITY }, 20); // left early
    expect(memory().tensors).toBe(before);
  }
});

test('wrong options are named', async () => {
  const dataset = await lines();
  for (const [argument, options] of [
    ['batchSize', { batchSize: 0 }],
    ['workers', { workers: -1 }],
    ['prefetch', { prefetch: 0 }],
    ['epochs', { epochs: 0.5 }],
    ['seed', { seed: -1 }],
    ['maxBroken', { maxBroken: 2 }],
    ['options', { shufle: false }],
    ['transform', { transform: undefined }],
    ['transform', { transform: {} }],
    ['transform', { transform: { ...small.transform, sise: 8 } }],
    ['transform.size', { transform: { ...small.transform, size: 0 } }],
    ['transform.crop', { transform: { ...small.transform, crop: undefined } }],
    ['transform.imageStd', { transform: { ...small.transform, imageStd: [1, 0, 1] } }],
  ] as const) {
    const given = { ...small, ...options } as LoaderOptions;
    expect(() => loader(dataset, given)).toThrow(expect.objectContaining({ name: 'ArgumentError', argument }));
  }
});
