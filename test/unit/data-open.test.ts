import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  ArgumentError,
  type DatasetSource,
  FileError,
  imageFolder,
  openDataset,
  parseDatasetSource,
  TarError,
  webDataset,
} from '../../src/index.ts';
import { samplesOf } from '../support/streams.ts';
import { tarMember, tarOf } from '../support/tar.ts';

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'open-'));
  const list = [{ image: 'a.jpg', caption: 'of a list', image_id: 3 }];
  const official = { images: [{ id: 1, file_name: 'a.jpg' }], annotations: [{ image_id: 1, caption: 'official' }] };
  const karpathy = {
    images: ['train', 'val', 'test'].map((split, imgid) => ({
      filename: `${split}.jpg`,
      split,
      imgid,
      sentences: [{ raw: `of ${split}` }],
    })),
  };
  const lines = '{"image": "a.jpg", "caption": "first line"}\n{"image": "b.jpg", "caption": "second line"}\n';
  write('list.json', JSON.stringify(list));
  write('official.json', JSON.stringify(official, null, 2));
  write('karpathy.json', JSON.stringify(karpathy));
  write('lines.jsonl', lines);
  write('lines.json', lines);
  write('other/lines.jsonl', lines);
  write('captions.txt', lines);
  write('pictures/deep/one.png', 'no picture');
  write('pictures/deep/one.txt', 'in a folder');
  for (const [i, name] of ['part-0', 'part-1', 'rest-2'].entries()) {
    write(`tars/${name}.tar`, tarOf(tarMember(`${i}.jpg`, 'no picture'), tarMember(`${i}.txt`, `in ${name}`)));
  }
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

function write(name: string, content: string | Uint8Array): void {
  const file = path.join(folder, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content);
}
const at = (name: string): string => path.join(folder, name);
const captionsOf = async (...args: Parameters<typeof openDataset>): Promise<string[]> =>
  (await samplesOf(await openDataset(...args))).flatMap(({ captions }) => captions).sort();

describe('the format is found', () => {
  test.each<[string, string[]]>([
    ['list.json', ['of a list']],
    ['official.json', ['official']],
    ['karpathy.json', ['of train']],
    ['karpathy.json,split=val+test', ['of test', 'of val']],
    ['lines.jsonl', ['first line', 'second line']],
    ['lines.json', ['first line', 'second line']],
    ['pictures', ['in a folder']],
    ['tars', ['in part-0', 'in part-1', 'in rest-2']],
    ['tars/part-1.tar', ['in part-1']],
    ['tars/part-{0..1}.tar', ['in part-0', 'in part-1']],
    ['tars/part-*.tar', ['in part-0', 'in part-1']],
  ])('of %s', async (name, captions) => {
    expect(await captionsOf(at(name))).toEqual(captions);
  });

  test('or told', async () => {
    expect(await captionsOf(`jsonl:${at('captions.txt')}`)).toEqual(['first line', 'second line']);
    expect(await captionsOf({ path: at('captions.txt'), format: 'jsonl' })).toEqual(['first line', 'second line']);
    await expect(openDataset(at('captions.txt'))).rejects.toThrow(
      /captions\.txt: is of no format known by its ending; put one of coco:, /,
    );
    await expect(openDataset(`coco:${at('lines.jsonl')}`)).rejects.toThrow(FileError);
  });
});

test('options hold for every source that does not say otherwise', async () => {
  const [sample] = await samplesOf(await openDataset(at('list.json'), { images: '/pictures' }));
  expect(sample?.image.file).toBe('/pictures/a.jpg');
  const [other] = await samplesOf(await openDataset(`${at('list.json')},images=/more`, { images: '/pictures' }));
  expect(other?.image.file).toBe('/more/a.jpg');
  expect(await captionsOf(at('karpathy.json'), { splits: ['test'] })).toEqual(['of test']);
  expect(await captionsOf(`${at('karpathy.json')},split=val`, { splits: ['test'] })).toEqual(['of val']);
});

test("names of a folder's pictures may have dots, and end at the last one", async () => {
  for (const name of ['img.1', 'img.2', 'v1.0/cat']) {
    write(`dotted/${name}.jpg`, 'no picture');
    write(`dotted/${name}.txt`, `of ${name}`);
  }
  const samples = await samplesOf(await openDataset(at('dotted')));
  expect(samples.map(({ key, captions }) => [key, ...captions])).toEqual([
    ['img.1.jpg', 'of img.1'],
    ['img.2.jpg', 'of img.2'],
    ['v1.0/cat.jpg', 'of v1.0/cat'],
  ]);
});

test('pictures of several tars are told apart though all tars count from 0', async () => {
  for (const name of ['a', 'b']) write(`counted/${name}.tar`, tarOf(tarMember('0.jpg', name), tarMember('0.txt', `in ${name}`)));
  const samples = await samplesOf(await openDataset(at('counted')));
  expect(samples.map(({ imageId }) => imageId)).toEqual(['a.tar/0', 'b.tar/0']);
});

test('what is left of a damaged tar is skipped, if told', async () => {
  const whole = tarOf(tarMember('0.jpg', 'p'), tarMember('0.txt', 'whole'), tarMember('1.jpg', 'p'), tarMember('1.txt', 'lost'));
  write('damaged/a.tar', whole.subarray(0, 5 * 512));
  write('damaged/b.tar', tarOf(tarMember('0.jpg', 'p'), tarMember('0.txt', 'of the next')));
  await expect(captionsOf(at('damaged'))).rejects.toThrow(TarError);
  expect(await captionsOf(`${at('damaged')},damaged=skip`)).toEqual(['of the next', 'whole']);
  await expect(openDataset(`${at('damaged')},damaged=maybe`)).rejects.toThrow(
    /expected 'stop' or 'skip' for damaged but received maybe/,
  );
});

test('a place that is no path is named', async () => {
  await expect(imageFolder(undefined as never)).rejects.toThrow(/expected a path for folder/);
  await expect(webDataset([undefined] as never)).rejects.toThrow(/for shards/);
});

test('what a source says of itself must mean something', async () => {
  const refused = [
    ['list.json,split=val', /expected none, as .*list\.json has no split such as Karpathy's, for splits but received val/],
    ['lines.jsonl,split=val', /expected none, as .* is of the format jsonl and not coco, for data\.splits but received "val"/],
    ['lines.jsonl,length=3', /expected none, as .* is of the format jsonl and not webdataset, for data\.length/],
    ['pictures,images=x', /expected none, as .* is of the format folder and not coco or jsonl, for data\.images/],
  ] as const;
  for (const [source, message] of refused) {
    await expect(openDataset(at(source))).rejects.toThrow(ArgumentError);
    await expect(openDataset(at(source))).rejects.toThrow(message);
  }
  // What is said of all of them together holds where it can.
  expect(await captionsOf(at('lines.jsonl'), { splits: ['test'] })).toEqual(await captionsOf(at('lines.jsonl')));
});

describe('several', () => {
  test('are a mixture, by weight', async () => {
    const dataset = await openDataset([`${at('lines.jsonl')},weight=3`, { path: at('list.json'), weight: 1 }]);
    expect(dataset).toMatchObject({ name: 'lines.jsonl + list.json', length: 3 });
    const stream = dataset.stream({ seed: 1, shuffle: true, epochs: Number.POSITIVE_INFINITY });
    let fromLines = 0;
    for (let i = 0; i < 2000; i++) if ((await stream.next())?.entry.key.startsWith('lines.jsonl/')) fromLines++;
    expect(fromLines / 2000).toBeCloseTo(0.75, 1);
    await stream.close();
  });

  test('of one name are told apart by their paths, or the names that they are given', async () => {
    const [one, two] = [at('lines.jsonl'), at('other/lines.jsonl')];
    expect((await openDataset([one, two])).name).toBe(`${one} + ${two}`);
    expect((await openDataset([`${one},name=a`, two])).name).toBe('a + lines.jsonl');
  });

  test('want weights where the length is not known', async () => {
    await expect(openDataset([at('tars'), at('lines.jsonl')])).rejects.toThrow(
      /expected a weight, since the length of tars is not known/,
    );
    const known = await openDataset([`${at('tars')},length=3`, at('lines.jsonl')]);
    expect(known.length).toBe(5);
  });
});

test('text as it is read', () => {
  expect(parseDatasetSource('coco:a,b.json,images=x/y,split=val+test,weight=0.5,name=mine')).toEqual({
    path: 'a,b.json',
    format: 'coco',
    images: 'x/y',
    splits: ['val', 'test'],
    weight: 0.5,
    name: 'mine',
  });
  expect(parseDatasetSource('c:/pictures')).toEqual({ path: 'c:/pictures' });
});

test.each<[unknown, RegExp]>([
  ['lines.jsonl,weight=0', /expected a number above 0 for data\.weight but received "0"/],
  ['lines.jsonl,length=', /expected a number above 0 for data\.length but received ""/],
  ['jsonl:', /expected a path for data but received "jsonl:"/],
  [[], /expected a file or folder of pictures with captions for data but received none/],
  [{ file: 'a' }, /expected fields out of path, format, .* for data but received file/],
  [{ format: 'jsonl' }, /expected a file or folder for data\.path/],
  [{ path: 'a', format: 'csv' }, /expected one of coco, jsonl, webdataset, folder for data\.format but received "csv"/],
  [{ path: 'a', weight: '2' }, /expected a number above 0 for data\.weight but received "2"/],
  [{ path: 'a', splits: [1] }, /expected a list of names for data\.splits/],
  [7, /expected an object for data but received 7/],
])('%j is refused', async (source, message) => {
  const opening = openDataset(source as DatasetSource);
  await expect(opening).rejects.toThrow(ArgumentError);
  await expect(openDataset(source as DatasetSource)).rejects.toThrow(message);
});

test.each(['missing.jsonl', 'missing', 'missing/*.tar', 'tars/none-*.tar'])('%s is not there', async (name) => {
  await expect(openDataset(at(name))).rejects.toThrow(FileError);
});
