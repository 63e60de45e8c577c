import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { randomStream } from '../../src/data/random.ts';
import { Blip2Error, FileError, TarError, webDataset } from '../../src/index.ts';
import { openFilesIn } from '../support/descriptors.ts';
import { entriesOf, samplesOf } from '../support/streams.ts';
import { paxHeader, tarMember, tarOf, withChecksum } from '../support/tar.ts';

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tars-'));
});
afterEach(async () => expect(await openFilesIn(folder)).toEqual([]));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const write = (bytes: Uint8Array, name = 'shard.tar'): string => {
  const file = path.join(folder, name);
  fs.writeFileSync(file, bytes);
  return file;
};
const entries = async (bytes: Uint8Array) => entriesOf(await webDataset(write(bytes)));
const good = (key: string) => [tarMember(`${key}.jpg`, `picture ${key}`), tarMember(`${key}.txt`, `caption of ${key}`)];
/** A member with some bytes of its header changed, and the checksum made right. */
const forged = (offset: number, text: string, member = tarMember('a.jpg', 'x')) => {
  member.write(text, offset, 'latin1');
  return withChecksum(member);
};

describe('what other writers of tars do is read', () => {
  test('pax and GNU names, whatever their length', async () => {
    const long = `${'folder/'.repeat(40)}name`;
    const all = tarOf(
      paxHeader({ path: `${long}1.jpg`, mtime: '1.5' }),
      tarMember('short.jpg', 'p'),
      paxHeader({ path: `${long}1.txt` }),
      tarMember('short.txt', 'caption 1'),
      paxHeader({ comment: 'of all' }, 'GlobalExtendedHeader'),
      tarMember('././@LongLink', `${long}2.jpg\0`, { type: 'NextFileHasLongPath' }),
      tarMember('short.jpg', 'p'),
      tarMember('././@LongLink', `${long}2.txt\0`, { type: 'NextFileHasLongPath' }),
      tarMember('short.txt', 'caption 2'),
      paxHeader({ size: '9' }),
      forged(124, '00000000000\0', tarMember('3.txt', 'caption 3')),
      tarMember('3.jpg', 'p'),
    );
    const samples = await entries(all);
    expect(
      samples.map((sample) =>
        'captions' in sample ? [String(sample.imageId).replace(/^[^/]*\.tar\//, ''), sample.captions[0]] : sample,
      ),
    ).toEqual([
      [`${long}1`, 'caption 1'],
      [`${long}2`, 'caption 2'],
      ['3', 'caption 3'],
    ]);
  });

  test.each(['ustar', 'pax', 'gnu', 'v7', 'oldgnu'])("GNU tar's format %s", async (format) => {
    const source = path.join(folder, `files-${format}`);
    const key = format === 'v7' ? 'k' : 'k'.repeat(90);
    fs.mkdirSync(path.join(source, 'sub'), { recursive: true });
    fs.writeFileSync(path.join(source, `sub/${key}.jpg`), 'picture');
    fs.writeFileSync(path.join(source, `sub/${key}.txt`), 'a caption');
    const file = path.join(folder, `${format}.tar`);
    const made = spawnSync('tar', [`--format=${format}`, '--sort=name', '-cf', file, '-C', source, '.'], { encoding: 'utf8' });
    expect(made.stderr).toBe('');
    const [sample] = await samplesOf(await webDataset(file));
    expect(sample).toMatchObject({ imageId: `${format}.tar/sub/${key}`, captions: ['a caption'] });
    const { offset = 0, size = 0 } = sample?.image ?? {};
    expect(fs.readFileSync(file).toString('latin1', offset, offset + size)).toBe('picture');
  });
});

describe('what is refused, with a TarError', () => {
  test.each<[string, Buffer, RegExp]>([
    [
      'a symbolic link',
      tarMember('a.jpg', '', { type: 'SymbolicLink', linkpath: '/etc/passwd' }),
      /"a\.jpg" is no file but a symbolic link/,
    ],
    ['a link', tarMember('a.jpg', '', { type: 'Link', linkpath: 'b.jpg' }), /is no file but a link/],
    ['a device', tarMember('a.jpg', '', { type: 'CharacterDevice' }), /is no file but a device/],
    ['a pipe', tarMember('a.jpg', '', { type: 'FIFO' }), /is no file but a pipe/],
    ['a sparse file of GNU', forged(156, 'S'), /is no file but a sparse file/],
    [
      'a sparse file in pax',
      Buffer.concat([paxHeader({ 'GNU.sparse.realsize': '99999999999' }), tarMember('a.jpg', 'x')]),
      /is a sparse file/,
    ],
    ['a kind that is unknown', forged(156, '!'), /is no file but of kind/],
    ['a name that climbs', tarMember('../a.jpg', 'x'), /"\.\.\/a\.jpg" has a name that leads out/],
    ['a name that climbs inside', tarMember('a/../../b.jpg', 'x'), /leads out/],
    ['a folder that climbs', tarMember('../', '', { type: 'Directory' }), /leads out/],
    ['an absolute name', tarMember('/etc/a.jpg', 'x'), /leads out/],
    ['a Windows name', tarMember('..\\a.jpg', 'x'), /leads out/],
    ['an absolute name in pax', Buffer.concat([paxHeader({ path: '/a.jpg' }), tarMember('a.jpg', 'x')]), /leads out/],
    ['no name', forged(0, '\0'.repeat(100)), /leads out/],
    ['a size beyond the end', forged(124, '77777777777\0'), /is cut off: member "a\.jpg" has 8589934591 bytes but/],
    ['a size beyond all files', forged(124, '\x80\0\0\0\0\x1f\xff\xff\xff\xff\xff\xff'), /is cut off/],
    ['a size beyond all numbers', forged(124, '\x80\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff'), /is damaged/],
    ['a negative size', forged(124, '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff'), /gives no size/],
    ['a size that is none', forged(124, 'abcdefghijk\0'), /gives no size/],
    [
      'a size that pax gives without bound',
      Buffer.concat([paxHeader({ size: '1e400' }), tarMember('a.jpg', 'x')]),
      /gives no size/,
    ],
    [
      'a size that pax gives as a fraction',
      Buffer.concat([paxHeader({ size: '0.5' }), tarMember('a.jpg', 'x')]),
      /gives no size/,
    ],
    [
      'a size for all members',
      Buffer.concat([paxHeader({ size: '3' }, 'GlobalExtendedHeader'), tarMember('a.jpg', 'x')]),
      /gives all members/,
    ],
    [
      'a pax header without end',
      tarMember('x', Buffer.alloc(2 ** 20 + 1), { type: 'ExtendedHeader' }),
      /expected at most 1048576 bytes/,
    ],
    [
      'headers without end',
      Buffer.concat([...Array(20).fill(paxHeader({ path: 'b.jpg' })), tarMember('a.jpg')]),
      /more than 16 headers/,
    ],
    ['a wrong checksum', tarMember('a.jpg', 'x').fill('b', 0, 1), /expected a tar header at byte 0, but its checksum is wrong/],
    ['no tar', Buffer.from('PK\x03\x04'.padEnd(2048, 'zip')), /checksum is wrong|gives no size/],
  ])('%s', async (_, member, message) => {
    const all = tarOf(member, ...good('1'));
    await expect(entries(all)).rejects.toThrow(
      expect.objectContaining({ name: 'TarError', message: expect.stringMatching(message) }),
    );
    await expect(entries(all)).rejects.toThrow(expect.any(TarError));
  });

  test('a tar that is cut off, at every place', async () => {
    const whole = tarOf(...good('1'), paxHeader({ path: '2.jpg' }), tarMember('x.jpg', 'p'), tarMember('2.txt', 'x'.repeat(600)));
    for (let length = 0; length < whole.length - 1024; length += 100) {
      await expect(entries(whole.subarray(0, length))).rejects.toThrow(/is cut off/);
    }
    expect(await entries(whole)).toHaveLength(2);
  });

  test('an empty file, a folder and a pipe', async () => {
    await expect(entries(Buffer.alloc(0))).rejects.toThrow(TarError);
    fs.mkdirSync(path.join(folder, 'inner', 'a.tar'), { recursive: true });
    await expect(entriesOf(await webDataset(path.join(folder, 'inner')))).rejects.toThrow(/expected a regular file/);
    const pipe = path.join(folder, 'pipe.tar');
    spawnSync('mkfifo', [pipe]);
    await expect(entriesOf(await webDataset(pipe))).rejects.toThrow(/expected a regular file/);
  });

  test('a huge picture is a broken sample, and is not read', async () => {
    const file = path.join(folder, 'huge.tar');
    const size = 2 ** 28 + 1;
    const header = tarMember('1.jpg', '', { size });
    const handle = fs.openSync(file, 'w');
    fs.writeSync(handle, header, 0, 512, 0);
    fs.writeSync(handle, tarOf(tarMember('1.txt', 'x'), ...good('2')), 0, undefined, 512 + Math.ceil(size / 512) * 512); // a hole on the disk
    fs.closeSync(handle);
    const [first, second] = await entriesOf(await webDataset(file));
    expect(first).toEqual({
      key: 'huge.tar/1',
      problem: expect.stringContaining(`expected at most ${2 ** 28} bytes but it has ${size}`),
    });
    expect(second).toMatchObject({ key: 'huge.tar/2', captions: ['caption of 2'] });
  });
});

test('damaged tars can be skipped: what comes before and the other tars are read', async () => {
  const bad = write(tarOf(...good('1'), tarMember('x.jpg', '', { type: 'SymbolicLink' }), ...good('2')), 'bad.tar');
  const fine = write(tarOf(...good('3')), 'fine.tar');
  const dataset = await webDataset([bad, fine], { damaged: 'skip' });
  const all = await entriesOf(dataset);
  expect(all.map(({ key }) => key)).toEqual(['bad.tar/1', bad, 'fine.tar/3']);
  expect(all[1]).toEqual({ key: bad, problem: expect.stringMatching(/a symbolic link; what is left of it is skipped$/) });
});

test('a thousand mutations of a tar are read or refused with a typed error', async () => {
  const whole = tarOf(
    ...good('1'),
    paxHeader({ path: '2.jpg' }),
    tarMember('x.jpg', 'p'),
    tarMember('2.json', '{"caption":"x","image_id":2}'),
    ...good('3'),
  );
  let refused = 0;
  for (let i = 0; i < 1000; i++) {
    const random = randomStream('mutation', i);
    const bytes = Buffer.from(whole);
    const blocks = bytes.length / 512;
    for (let change = 0; change < 3; change++) {
      // Mostly in headers' fields that matter: name, size, checksum, type.
      const field = [0, 1, 124, 130, 134, 148, 156, 257, 345, 511][Math.floor(random() * 10)] as number;
      bytes[Math.floor(random() * blocks) * 512 + field] = Math.floor(random() * 256);
      if (random() < 0.7) withChecksum(bytes.subarray(0, 512));
    }
    if (random() < 0.7)
      for (let block = 0; block < blocks - 2; block++)
        if (random() < 0.8) withChecksum(bytes.subarray(block * 512, block * 512 + 512));
    try {
      const all = await entries(bytes.subarray(0, random() < 0.1 ? Math.floor(random() * bytes.length) : bytes.length));
      expect(all.length).toBeLessThan(20);
    } catch (error) {
      refused++;
      expect(error).toBeInstanceOf(Blip2Error);
      expect(error).toBeInstanceOf(FileError);
    }
  }
  expect(refused).toBeGreaterThan(300);
  expect(refused).toBeLessThan(1000);
});
