import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ArgumentError, cocoCaptions, type Dataset, FileError, imageFolder, jsonLines, webDataset } from '../../src/index.ts';
import { openFilesIn } from '../support/descriptors.ts';
import { entriesOf, samplesOf } from '../support/streams.ts';
import { tarMember, tarOf, tarSample } from '../support/tar.ts';

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'datasets-'));
});
afterEach(async () => expect(await openFilesIn(folder)).toEqual([]));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const write = (name: string, content: string | Uint8Array | object): string => {
  const file = path.join(folder, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const text = typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content);
  fs.writeFileSync(file, text);
  return file;
};
const short = async (dataset: Dataset) =>
  (await samplesOf(dataset)).map(({ image, captions, imageId }) => [path.relative(folder, image.file), captions, imageId]);

describe('COCO captions', () => {
  const official = {
    images: [
      { id: 9, file_name: 'train/b.jpg' },
      { id: 4, file_name: 'a.jpg' },
      { id: 5, file_name: 'without.jpg' },
    ],
    annotations: [
      { image_id: 4, caption: 'first of a' },
      { image_id: 9, caption: 'of b' },
      { image_id: 4, caption: 'second of a' },
    ],
  };
  const karpathy = {
    images: [
      {
        filepath: 'train2014',
        filename: 'a.jpg',
        split: 'train',
        cocoid: 4,
        imgid: 0,
        sentences: [{ raw: 'one' }, { raw: 'two' }],
      },
      { filepath: 'val2014', filename: 'b.jpg', split: 'restval', cocoid: 9, imgid: 1, sentences: [{ raw: 'three' }] },
      { filename: 'c.jpg', split: 'test', imgid: 2, sentences: [{ raw: 'four' }] },
    ],
  };

  test('official: a sample a caption, or a picture with all of them', async () => {
    const file = write('official.json', official);
    expect(await short(await cocoCaptions(file))).toEqual([
      ['train/b.jpg', ['of b'], 9],
      ['a.jpg', ['first of a'], 4],
      ['a.jpg', ['second of a'], 4],
    ]);
    const grouped = await cocoCaptions(file, { grouped: true, images: path.join(folder, 'images') });
    expect(grouped.length).toBe(2);
    expect(await short(grouped)).toEqual([
      ['images/train/b.jpg', ['of b'], 9],
      ['images/a.jpg', ['first of a', 'second of a'], 4],
    ]);
  });

  test('Karpathy’s split: train and restval unless told', async () => {
    const file = write('karpathy.json', karpathy);
    expect(await short(await cocoCaptions(file))).toEqual([
      ['train2014/a.jpg', ['one'], 4],
      ['train2014/a.jpg', ['two'], 4],
      ['val2014/b.jpg', ['three'], 9],
    ]);
    expect(await short(await cocoCaptions(file, { splits: ['test'] }))).toEqual([['c.jpg', ['four'], 2]]);
    await expect(cocoCaptions(file, { splits: ['val'] })).rejects.toThrow(/one of train, restval, test for splits/);
  });

  test('Karpathy’s split as a list, as LAVIS has it', async () => {
    const file = write('list.json', [
      { image: 'val2014/a.jpg', caption: 'one', image_id: 'coco_4' },
      { image: 'val2014/a.jpg', caption: 'two', image_id: 'coco_4' },
      { image: 'val2014/b.jpg', caption: ['three', 'four'] },
    ]);
    expect(await short(await cocoCaptions(file, { grouped: true }))).toEqual([
      ['val2014/a.jpg', ['one', 'two'], 'coco_4'],
      ['val2014/b.jpg', ['three', 'four'], 'val2014/b.jpg'],
    ]);
    const samples = await samplesOf(await cocoCaptions(file));
    expect(new Set(samples.map(({ key }) => key)).size).toBe(4);
  });

  test.each<[string, unknown, RegExp]>([
    ['a number', 7, /the file: expected an object but received 7/],
    ['no images', {}, /images: expected a list of pictures but received null/],
    ['images that are no list', { images: {} }, /images: expected a list but received an object/],
    ['an image that is no object', { images: [3], annotations: [] }, /images\[0\]: expected an object but received 3/],
    [
      'an id of the wrong type',
      { images: [{ id: 1.5, file_name: 'a' }], annotations: [] },
      /images\[0\]\.id: expected a whole number/,
    ],
    [
      'one id twice',
      { images: [{ id: 1 }, { id: 1 }], annotations: [] },
      /images\[1\]\.id: expected an id of its own but received 1/,
    ],
    [
      'an unknown image',
      { images: [], annotations: [{ image_id: 3, caption: '' }] },
      /annotations\[0\]\.image_id: expected the id of one/,
    ],
    [
      'a caption of the wrong type',
      { ...official, annotations: [{ image_id: 4, caption: 8 }] },
      /annotations\[0\]\.caption: expected a string/,
    ],
    ['no captions', { images: [], annotations: [] }, /there are none/],
    ['sentences that are none', { images: [{ ...karpathy.images[0], sentences: [] }] }, /images\[0\]\.sentences/],
    ['a list without captions', [{ image: 'a.jpg' }], /\[0\]\.caption: expected a caption/],
    ['an empty list of captions', [{ image: 'a.jpg', captions: [] }], /\[0\]\.captions: expected a string or a list/],
    [
      'a way out',
      [{ image: '../../etc/passwd', caption: 'x' }],
      /\[0\]\.image: expected a path inside the folder but received "\.\.\/\.\.\/etc/,
    ],
    [
      'an absolute path',
      { images: [{ id: 4, file_name: '/etc/passwd' }], annotations: [{ image_id: 4, caption: 'x' }] },
      /file_name: .* "\/etc/,
    ],
    ['a folder that climbs', { images: [{ ...karpathy.images[0], filepath: 'a/../..' }] }, /filename: expected a path inside/],
    ['a field of Object', { __proto__: 1, images: { length: 1 } }, /images: expected a list/],
  ])('%s is refused', async (_, json, message) => {
    const file = write('wrong.json', JSON.stringify(json));
    await expect(cocoCaptions(file)).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_FILE', message: expect.stringMatching(message) }),
    );
  });

  test('what is no JSON is refused', async () => {
    for (const text of ['', '{"images": [', '['.repeat(1e5), '\ud800', '{"images": NaN}']) {
      await expect(cocoCaptions(write('broken.json', text))).rejects.toThrow(FileError);
    }
    await expect(cocoCaptions(path.join(folder, 'absent.json'))).rejects.toThrow(/cannot be read: ENOENT/);
  });
});

describe('JSON Lines', () => {
  test('caption or captions, blank lines, Windows’ line ends, no line end at the end', async () => {
    const file = write(
      'a.jsonl',
      '{"image":"a.jpg","caption":"one","image_id":3}\r\n\n  \n{"image":"b/c.png","captions":["two","drei ü"]}',
    );
    const dataset = await jsonLines(file, { images: path.join(folder, 'i') });
    expect(dataset.length).toBe(3);
    expect(await short(dataset)).toEqual([
      ['i/a.jpg', ['one'], 3],
      ['i/b/c.png', ['two'], 'b/c.png'],
      ['i/b/c.png', ['drei ü'], 'b/c.png'],
    ]);
    expect((await samplesOf(dataset)).map(({ key }) => key)).toEqual(['line 1: a.jpg', 'line 4: b/c.png#0', 'line 4: b/c.png#1']);
    expect((await samplesOf(await jsonLines(file, { grouped: true }))).map(({ captions }) => captions)).toEqual([
      ['one'],
      ['two', 'drei ü'],
    ]);
  });

  test('lines that cross the pieces in which a file is read', async () => {
    const line = (i: number) => JSON.stringify({ image: `${i}.jpg`, caption: 'word '.repeat((i * 7919) % 3000), image_id: i });
    const file = write('long.jsonl', Array.from({ length: 400 }, (_, i) => line(i)).join('\n'));
    expect(fs.statSync(file).size).toBeGreaterThan(2 ** 21);
    const samples = await samplesOf(await jsonLines(file));
    expect(samples.map(({ imageId }) => imageId)).toEqual(Array.from({ length: 400 }, (_, i) => i));
    expect(samples.every(({ captions: [caption] }, i) => caption === 'word '.repeat((i * 7919) % 3000))).toBe(true);
  });

  test.each<[string, string, RegExp]>([
    ['broken JSON', '{"image":"a","caption":"b"}\n{"image":', /line 2: expected JSON/],
    ['no object', '[]', /line 1: the file: expected an object|line 1: .*expected an object/],
    ['no image', '{"caption":"b"}', /line 1: image: expected a picture's path/],
    ['a caption that is none', '{"image":"a","caption":[1]}', /line 1: caption: expected a string or a list of strings/],
    ['an id that is none', '{"image":"a","caption":"b","image_id":-1}', /line 1: image_id: expected a whole number/],
    ['a way out', '{"image":"x/../../a","caption":"b"}', /line 1: image: expected a path inside the folder/],
    ['a Windows drive', '{"image":"C:\\\\a.jpg","caption":"b"}', /line 1: image: expected a path inside the folder/],
    ['a zero byte', '{"image":"a\\u0000.jpg","caption":"b"}', /line 1: image: expected a path inside the folder/],
    ['deep nesting', `{"image":${'['.repeat(1000)}`, /line 1: expected JSON nested at most 64 deep/],
    ['nothing', '\n\n', /there are none/],
  ])('%s is refused', async (_, text, message) => {
    await expect(jsonLines(write('wrong.jsonl', text))).rejects.toThrow(
      expect.objectContaining({ name: 'FileError', message: expect.stringMatching(message) }),
    );
  });

  test('a line without end is refused before it fills the memory', async () => {
    await expect(jsonLines(write('endless.jsonl', Buffer.alloc(2 ** 24 + 2 ** 21, 0x20)))).rejects.toThrow(
      /line 1: expected at most/,
    );
  });

  test('lines of a file that has changed are broken samples', async () => {
    const file = write('changing.jsonl', '{"image":"a.jpg","captions":["one","two"]}\n{"image":"b.jpg","caption":"three"}\n');
    const dataset = await jsonLines(file);
    write('changing.jsonl', '{"image":"a.jpg","captions":["one"]      }\n{"image"');
    expect(await entriesOf(dataset)).toEqual([
      expect.objectContaining({ captions: ['one'] }),
      { key: 'line 1', problem: expect.stringContaining('has fewer captions') },
      { key: 'line 2', problem: expect.stringContaining('cut off') },
    ]);
  });
});

describe('folders', () => {
  test('pictures with a text or an object beside them', async () => {
    write('pictures/b/cat.jpg', 'jpeg');
    write('pictures/b/cat.txt', ' a cat\n');
    write('pictures/dog.PNG', 'png');
    write('pictures/dog.json', { captions: ['a dog', 'a hound'], image_id: 5 });
    write('pictures/alone.webp', 'webp');
    write('pictures/notes.txt', 'no picture');
    write('pictures/.hidden.jpg', 'no');
    write('pictures/broken.jpg', 'jpeg');
    write('pictures/broken.json', '{"caption": 4}');
    fs.symlinkSync(path.join(folder, 'pictures/b/cat.jpg'), path.join(folder, 'pictures/linked.jpg'));
    write('pictures/linked.txt', 'the cat again');
    fs.symlinkSync(path.join(folder, 'pictures'), path.join(folder, 'pictures/b/loop'));
    const dataset = await imageFolder(path.join(folder, 'pictures'));
    expect(await short(dataset)).toEqual([
      ['pictures/b/cat.jpg', ['a cat'], 'b/cat.jpg'],
      ['pictures/dog.PNG', ['a dog'], 5],
      ['pictures/dog.PNG', ['a hound'], 5],
      ['pictures/linked.jpg', ['the cat again'], 'linked.jpg'],
    ]);
    const broken = (await entriesOf(dataset)).filter((entry) => 'problem' in entry);
    expect(broken).toEqual([
      { key: 'alone.webp', problem: expect.stringContaining('has no caption') },
      { key: 'broken.jpg', problem: expect.stringContaining('caption: expected a string or a list of strings but received 4') },
    ]);
  });

  test('a folder without pictures, or none, is refused', async () => {
    fs.mkdirSync(path.join(folder, 'empty'));
    await expect(imageFolder(path.join(folder, 'empty'))).rejects.toThrow(/there are none/);
    await expect(imageFolder(path.join(folder, 'absent'))).rejects.toThrow(FileError);
  });
});

describe('WebDataset', () => {
  test('members of one name make a sample, whatever else there is', async () => {
    write(
      'shards/a.tar',
      tarOf(
        tarMember('./', '', { type: 'Directory' }),
        tarMember('.DS_Store', 'x'),
        ...tarSample('./sub.dir/0001'),
        tarMember('0002.txt', 'of the text'),
        tarMember('0002.cls', '7'),
        tarMember('0002.PNG', 'picture 2'),
        tarMember('0002.json', '{"image_id": 12, "caption": "of the object"}'),
        tarMember('0003.webp', ''),
        tarMember('0003.json', '{"captions": ["x", "y"]}'),
      ),
    );
    const samples = await samplesOf(await webDataset(path.join(folder, 'shards/a.tar')));
    expect(samples.map(({ key, captions, imageId }) => [key, captions, imageId])).toEqual([
      ['a.tar/sub.dir/0001', ['caption of ./sub.dir/0001'], 'a.tar/sub.dir/0001'],
      ['a.tar/0002', ['of the text'], 12],
      ['a.tar/0003#0', ['x'], 'a.tar/0003'],
      ['a.tar/0003#1', ['y'], 'a.tar/0003'],
    ]);
    const bytes = fs.readFileSync(path.join(folder, 'shards/a.tar'));
    const texts = samples.map(({ image: { offset = 0, size = 0 } }) => bytes.toString('latin1', offset, offset + size));
    expect(texts).toEqual(['picture ./sub.dir/0001', 'picture 2', '', '']);
    expect(await samplesOf(await webDataset(path.join(folder, 'shards/a.tar'), { grouped: true }))).toHaveLength(3);
  });

  test('samples that cannot be used are named', async () => {
    const file = write(
      'broken.tar',
      tarOf(
        tarMember('1.jpg', 'p'),
        tarMember('2.txt', 'text'),
        ...tarSample('3'),
        tarMember('4.jpg', 'p'),
        tarMember('4.json', '{"caption": 7}'),
        tarMember('5.jpg', 'p'),
        tarMember('5.jpg', 'q'),
        tarMember('5.txt', 'x'),
        tarMember('6.jpg', 'p'),
        tarMember('6.txt', Buffer.alloc(2 ** 20 + 1, 0x61)),
        tarMember('7.jpg', 'p'),
        tarMember('7.txt', Buffer.from([0xff, 0xfe])),
        ...tarSample('8'),
      ),
    );
    const entries = await entriesOf(await webDataset(file));
    expect(entries.map((entry) => [entry.key, 'problem' in entry ? entry.problem.replace(`${file}: `, '') : 'fine'])).toEqual([
      ['broken.tar/1', '1: has no caption'],
      ['broken.tar/2', '2: has no picture (jpg, jpeg, png, webp)'],
      ['broken.tar/3', 'fine'],
      ['broken.tar/4', '4.json: caption: expected a string or a list of strings but received 7'],
      ['broken.tar/5', '5.jpg: comes twice in one sample'],
      ['broken.tar/6', '6.txt: expected at most 1048576 bytes but it has 1048577'],
      ['broken.tar/7', '7.txt: expected UTF-8 text'],
      ['broken.tar/8', 'fine'],
    ]);
  });

  test('ranges of numbers, folders and lists of tars', async () => {
    for (const name of ['r-008', 'r-009', 'r-010']) write(`range/${name}.tar`, tarOf(...tarSample(name)));
    write('range/other.txt', '');
    const at = (name: string) => path.join(folder, 'range', name);
    const names = async (shards: string | string[]) => (await webDataset(shards)).shards.map((shard) => path.basename(shard));
    const all = ['r-008.tar', 'r-009.tar', 'r-010.tar'];
    expect(await names(at('r-{008..010}.tar'))).toEqual(all);
    expect(await names(path.join(folder, 'range'))).toEqual(all);
    expect(await names([at('r-010.tar'), at('r-008.tar')])).toEqual(['r-010.tar', 'r-008.tar']);
    await expect(webDataset(at('r-{008..011}.tar'))).rejects.toThrow(/r-011\.tar: cannot be read: ENOENT/);
    await expect(webDataset(at('r-{9..8}.tar'))).rejects.toThrow(ArgumentError);
    await expect(webDataset(at('r-{0..99999999999}.tar'))).rejects.toThrow(ArgumentError);
    await expect(webDataset([at('r-010.tar'), at('r-010.tar')])).rejects.toThrow(/each tar once/);
    await expect(webDataset(at('other.txt'))).rejects.toThrow(/expected a \.tar file/);
    await expect(webDataset(path.join(folder, 'pictures'))).rejects.toThrow(/there are none/);
  });

  test('tars without a sample are refused, not gone through for ever', async () => {
    const file = write('none.tar', tarOf(tarMember('README', 'no ending')));
    await expect(entriesOf(await webDataset(file), { epochs: Number.POSITIVE_INFINITY })).rejects.toThrow(/there are none/);
  });
});
