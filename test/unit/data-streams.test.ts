import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ArgumentError, type Dataset, jsonLines, mixture, type StreamOptions, webDataset } from '../../src/index.ts';
import { openFilesIn } from '../support/descriptors.ts';
import { drain, samplesOf } from '../support/streams.ts';
import { tarOf, tarSample } from '../support/tar.ts';

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'streams-'));
});
afterEach(async () => expect(await openFilesIn(folder)).toEqual([]));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const write = (name: string, content: string | Uint8Array): string => {
  const file = path.join(folder, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content);
  return file;
};

describe('streams', () => {
  let shards: string;
  beforeAll(() => {
    for (let shard = 0; shard < 5; shard++) {
      const keys = Array.from({ length: 20 }, (_, i) => `${shard * 20 + i}`);
      write(`many/${shard}.tar`, tarOf(...keys.flatMap((key) => tarSample(key))));
    }
    shards = path.join(folder, 'many');
  });
  const lines = (n: number, name = 'lines') =>
    jsonLines(
      write(
        `${name}.jsonl`,
        Array.from({ length: n }, (_, i) => JSON.stringify({ image: `${i}.jpg`, caption: 'x', image_id: i })).join('\n'),
      ),
    );
  const parts = async () =>
    mixture([
      { dataset: await webDataset(shards, { buffer: 9 }), weight: 2 },
      { dataset: await lines(40), weight: 1 },
    ]);
  const kinds: [string, () => Promise<Dataset>, number][] = [
    ['indexed', () => lines(100), 100],
    ['tars', () => webDataset(shards, { buffer: 15 }), 100],
    ['mixture', parts, 140],
  ];
  const options = { seed: 3, shuffle: true, epochs: 2 };
  const keysOf = async (dataset: Dataset, more: Partial<StreamOptions> = {}) => {
    const stream = dataset.stream({ ...options, ...more });
    const drawn = await drain(stream);
    await stream.close();
    return drawn.map(({ entry, epoch }) => `${epoch} ${entry.key}`);
  };

  test.each(kinds)('%s: every sample once an epoch, in an order that the seed gives', async (_, open, length) => {
    const dataset = await open();
    const once = await keysOf(dataset);
    expect(new Set(once).size).toBe(2 * length);
    expect(once).toHaveLength(2 * length);
    expect(await keysOf(await open())).toEqual(once);
    expect(await keysOf(dataset, { seed: 4 })).not.toEqual(once);
    const plain = await keysOf(dataset, { shuffle: false, epochs: 1 });
    expect(plain).toHaveLength(length);
    expect(once.slice(0, length)).not.toEqual(plain);
    const [first, second] = [0, 1].map((epoch) => once.filter((key) => key.startsWith(`${epoch} `)).map((key) => key.slice(2)));
    expect(second).not.toEqual(first);
    expect(second?.toSorted()).toEqual(first?.toSorted());
  });

  test.each(kinds)('%s: goes on from any position, given as JSON', async (_, open) => {
    const dataset = await open();
    const whole = await keysOf(dataset);
    for (const at of [0, 1, 14, 57, 99, 100, 101, 150, whole.length - 1, whole.length]) {
      const stream = dataset.stream(options);
      await drain(stream, at);
      const mark = stream.mark();
      await drain(stream, 7); // a mark stays what it was
      const from = JSON.parse(JSON.stringify(mark()));
      await stream.close();
      const rest = dataset.stream({ ...options, from });
      expect(JSON.parse(JSON.stringify(rest.mark()()))).toEqual(from);
      const keys = (await drain(rest)).map(({ entry, epoch }) => `${epoch} ${entry.key}`);
      await rest.close();
      expect(keys).toEqual(whole.slice(at));
    }
  });

  test('tars are mixed beyond one tar, and the buffer is as large as told', async () => {
    const keys = (await samplesOf(await webDataset(shards, { buffer: 30 }), { shuffle: true })).map(({ imageId }) =>
      Math.floor(Number(path.basename(String(imageId))) / 20),
    );
    expect(new Set(keys.slice(0, 20)).size).toBeGreaterThan(1);
    const stream = (await webDataset(shards, { buffer: 30 })).stream(options);
    await stream.next();
    expect((stream.mark()() as { buffer: unknown[] }).buffer).toHaveLength(29);
    await stream.close();
  });

  test('a mixture follows its weights, and keeps keys and ids of its parts apart', async () => {
    const [a, b] = [await lines(50, 'a'), await lines(50, 'b')];
    const stream = mixture([
      { dataset: a, weight: 3 },
      { dataset: b, weight: 1, name: 'other' },
    ]).stream({ seed: 1, shuffle: true, epochs: Infinity });
    const drawn = await drain(stream, 8000);
    const fromA = drawn.filter(({ entry }) => entry.key.startsWith('a.jsonl/')).length;
    expect(Math.abs(fromA - 6000)).toBeLessThan(4 * Math.sqrt(8000 * 0.75 * 0.25));
    const ids = new Set(drawn.map(({ entry }) => ('problem' in entry ? '' : entry.imageId)));
    expect(ids.size).toBe(100);
    expect(ids.has('other/7')).toBe(true);
  });

  test('a mixture goes by lengths unless told, and wants weights where there are none', async () => {
    const whole = mixture([await lines(30, 'a'), await lines(10, 'b')]);
    expect([whole.name, whole.length]).toEqual(['a.jsonl + b.jsonl', 40]);
    const tars = await webDataset(shards);
    expect(() => mixture([tars])).toThrow(/expected a weight, since the length of many is not known for parts\[0\]\.weight/);
    expect(mixture([await webDataset(shards, { length: 100 })]).length).toBe(100);
    const part = await lines(3, 'a');
    expect(() => mixture([part, part])).toThrow(/a name of its own for each part/);
    expect(() => mixture([])).toThrow(ArgumentError);
    expect(() => mixture([{ dataset: part, weight: 0 }])).toThrow(/a number above 0/);
  });

  test('a stream that fails has closed its tars', async () => {
    const whole = fs.readFileSync(path.join(shards, '0.tar'));
    const cut = await webDataset(write('cut.tar', whole.subarray(0, whole.length / 2)), { buffer: 50, length: 1 });
    await expect(cut.stream(options).next()).rejects.toThrow(/cut\.tar/);
    expect(await openFilesIn(folder)).toEqual([]);
    const both = mixture([
      { dataset: await webDataset(shards, { buffer: 1 }), weight: 9 },
      { dataset: cut, weight: 1 },
    ]);
    await expect(drain(both.stream(options))).rejects.toThrow(/cut\.tar/);
    expect(await openFilesIn(folder)).toEqual([]);
  });

  test.each<[string, unknown]>([
    ['no object', 7],
    ['nothing', {}],
    ['a negative number', { epoch: -1, next: 0, draws: 0, place: 0, byte: 0, buffer: [] }],
    ['a place beyond the end', { epoch: 0, next: 101, draws: 0, place: 6, byte: 0, buffer: [] }],
    ['a buffer that is none', { epoch: 0, next: 'a', draws: 0, place: 0, byte: 0, buffer: [[99, 0, 0, 0]] }],
    ['a place in a tar that holds none', { epoch: 0, next: 1.5, draws: 0, place: 0, byte: 0, buffer: [[0, 512, 0, 0]] }],
  ])('a position with %s is refused', async (_, from) => {
    for (const dataset of [await lines(100), await webDataset(shards)]) {
      await expect(async () => dataset.stream({ ...options, from: from as never }).next()).rejects.toThrow(
        expect.objectContaining({ code: expect.stringMatching(/ERR_ARGUMENT|ERR_FILE/) }),
      );
    }
  });
});
