import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { isHubId, pretrainedFolder } from '../../src/hub/place.ts';
import { Blip2ForConditionalGeneration, download, FileError, HubError, loadLanguageModel } from '../../src/index.ts';
import { cutAfter, FakeHub } from '../support/hub.ts';

const ID = 'owner/small-model';
let hub: FakeHub;
let room: string;
const cache = (): string => path.join(room, 'hub');
const repository = (): string => path.join(cache(), 'models--owner--small-model');

const VARIABLES = [
  'HF_ENDPOINT',
  'HF_HOME',
  'HF_HUB_CACHE',
  'HUGGINGFACE_HUB_CACHE',
  'HF_TOKEN',
  'HF_HUB_OFFLINE',
  'TRANSFORMERS_OFFLINE',
  'HF_TOKEN_PATH',
];
const before = Object.fromEntries(VARIABLES.map((name) => [name, process.env[name]]));
const restore = (): void => {
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
};

beforeEach(async () => {
  for (const name of VARIABLES) delete process.env[name];
  room = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-hub-'));
  hub = new FakeHub();
  process.env.HF_ENDPOINT = await hub.start();
  process.env.HF_HOME = room;
});
afterEach(async () => {
  restore();
  await hub.stop();
  fs.rmSync(room, { recursive: true, force: true });
});

const large = Buffer.alloc(300_000, 'weights of a model, ');
const FILES = {
  'README.md': '# A model',
  'config.json': '{"model_type":"opt"}',
  'generation_config.json': '{}',
  'tokenizer_config.json': '{}',
  'tokenizer.json': '{}',
  'vocab.json': '{}',
  'merges.txt': 'a b\n',
  'model.safetensors': large,
  'pytorch_model.bin': 'the same once more',
  'flax_model.msgpack': 'and once more',
};
const NEEDED = ['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];

async function refusal(call: Promise<unknown>): Promise<HubError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(HubError);
  return error as HubError;
}

describe('a model of the Hub', () => {
  test('comes with the files that it needs, into the cache that Python reads', async () => {
    const { commit } = hub.add(ID, FILES);
    const seen: number[] = [];
    const folder = await download(ID, { onProgress: ({ done, total }) => seen.push(done, total) });
    expect(folder).toBe(path.join(repository(), 'snapshots', commit));
    expect(fs.readdirSync(folder).sort()).toEqual(NEEDED);
    for (const name of NEEDED)
      expect(fs.readFileSync(path.join(folder, name), 'utf8')).toBe(String(FILES[name as keyof typeof FILES]));
    const digest = createHash('sha256').update(large).digest('hex');
    expect(fs.readlinkSync(path.join(folder, 'model.safetensors'))).toBe(`../../blobs/${digest}`);
    expect(fs.readFileSync(path.join(repository(), 'refs/main'), 'utf8')).toBe(commit);
    expect(
      fs.readdirSync(path.join(repository(), 'blobs')).filter((name) => !/^[0-9a-f]{40}$|^[0-9a-f]{64}$/.test(name)),
    ).toEqual([]);
    const total = NEEDED.reduce((sum, name) => sum + Buffer.byteLength(FILES[name as keyof typeof FILES]), 0);
    expect([seen[0], seen[1], seen.at(-2), seen.at(-1)]).toEqual([0, total, total, total]);
  });

  test('is asked for once, and then found without a request, also by its commit', async () => {
    const { commit } = hub.add(ID, FILES);
    const folder = await download(ID);
    hub.requests.length = 0;
    const never = (): never => {
      throw new Error('nothing is to come');
    };
    expect(await download(ID, { onProgress: never })).toBe(folder);
    expect(await download(ID, { revision: commit })).toBe(folder);
    process.env.HF_HUB_OFFLINE = '1';
    expect(await download(ID)).toBe(folder);
    expect(hub.requests).toEqual([]);
  });

  test('is looked up anew where that is asked for, and only what has changed comes', async () => {
    const repo = hub.add(ID, FILES);
    await download(ID);
    repo.commit = 'c'.repeat(40);
    repo.files.set('config.json', Buffer.from('{"model_type":"t5"}'));
    hub.requests.length = 0;
    const folder = await download(ID, { update: true });
    expect(path.basename(folder)).toBe('c'.repeat(40));
    expect(hub.bodies).toEqual(['config.json']);
    expect(fs.readdirSync(folder).sort()).toEqual(NEEDED);
    expect(await download(ID)).toBe(folder);
    await hub.stop();
    expect(await download(ID, { update: true })).toBe(folder);
    await hub.start();
  });

  test('in several files: those that the index names; and .bin where there are no others', async () => {
    const index = (...names: string[]) =>
      JSON.stringify({ weight_map: Object.fromEntries(names.map((name, i) => [`t${i}`, name])) });
    const { 'model.safetensors': _, ...rest } = FILES;
    hub.add(ID, {
      ...rest,
      'model.safetensors.index.json': index('model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'),
      'model-00001-of-00002.safetensors': 'one',
      'model-00002-of-00002.safetensors': 'two',
      'model-00003-of-00003.safetensors': 'of an older one',
    });
    const folder = await download(ID);
    expect(fs.readdirSync(folder).filter((name) => name.startsWith('model'))).toEqual([
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
    ]);
    hub.add('owner/old', rest);
    expect(fs.readdirSync(await download('owner/old'))).toContain('pytorch_model.bin');
    // One without a tokenizer.json.
    const { 'tokenizer.json': __, ...older } = rest;
    hub.add('owner/older', older);
    expect(fs.readdirSync(await download('owner/older'))).toEqual(expect.arrayContaining(['merges.txt', 'vocab.json']));
  });

  test('without weights, and with them afterwards', async () => {
    hub.add(ID, FILES);
    const folder = await download(ID, { weights: false });
    expect(hub.bodies).not.toContain('model.safetensors');
    expect(fs.existsSync(path.join(folder, 'config.json'))).toBe(true);
    await download(ID);
    expect(hub.bodies.filter((name) => name === 'config.json')).toHaveLength(1);
    expect(fs.statSync(path.join(folder, 'model.safetensors')).size).toBe(large.length);
  });

  test('that Python has downloaded is found without a network', async () => {
    await hub.stop();
    const commit = 'a'.repeat(40);
    const snapshot = path.join(repository(), 'snapshots', commit);
    for (const folder of ['refs', 'blobs', 'snapshots']) fs.mkdirSync(path.join(repository(), folder), { recursive: true });
    fs.mkdirSync(snapshot);
    fs.writeFileSync(path.join(repository(), 'refs/main'), commit);
    for (const [name, content] of Object.entries(FILES)) {
      fs.writeFileSync(path.join(repository(), 'blobs', `of-${name}`), content);
      fs.symlinkSync(`../../blobs/of-${name}`, path.join(snapshot, name));
    }
    expect(await download(ID)).toBe(snapshot);
    // The same without a blob that one of the links is to.
    fs.rmSync(path.join(repository(), 'blobs/of-model.safetensors'));
    fs.rmSync(path.join(snapshot, 'pytorch_model.bin'));
    expect((await refusal(download(ID))).code).toBe('ERR_HUB_OFFLINE');
    await hub.start();
  });

  test('and its cache are where the environment says', async () => {
    hub.add(ID, FILES);
    process.env.HF_HUB_CACHE = path.join(room, 'elsewhere');
    expect(await download(ID)).toContain(path.join(room, 'elsewhere', 'models--owner--small-model'));
    expect(await download(ID, { cache: path.join(room, 'mine') })).toContain(path.join(room, 'mine'));
  });

  test('comes once where two ask at the same time', async () => {
    hub.add(ID, FILES);
    const [one, other] = await Promise.all([download(ID), download(ID)]);
    expect(one).toBe(other);
    expect(hub.bodies.sort()).toEqual(NEEDED);
  });
});

describe('what cannot be had is said, with what to do', () => {
  test('without a network', async () => {
    await hub.stop();
    const error = await refusal(download(ID));
    expect([error.code, error.repository]).toEqual(['ERR_HUB_OFFLINE', ID]);
    expect(error.message).toMatch(
      /^owner\/small-model: http:\/\/127.*cannot be reached \(.*ECONNREFUSED.*\)\. Without a network, give a folder/,
    );
    expect(error.message).toContain(
      `models--owner--small-model from the cache of a machine that has it (there ~/.cache/huggingface/hub) into ${cache()}`,
    );
    process.env.HF_HUB_OFFLINE = 'yes';
    expect((await refusal(download(ID))).message).toContain('HF_HUB_OFFLINE is set');
    await hub.start();
  });

  test('no such repository, revision, or model', async () => {
    expect(await refusal(download('owner/nothing'))).toMatchObject({ code: 'ERR_HUB_ACCESS', status: 401 });
    hub.add(ID, FILES);
    const error = await refusal(download(ID, { revision: 'v2' }));
    expect(error).toMatchObject({ code: 'ERR_HUB_ABSENT', status: 404 });
    expect(error.message).toContain('its revision "v2"');
    hub.add('owner/text', { 'README.md': 'words' });
    expect((await refusal(download('owner/text'))).message).toBe(
      'owner/text: has no config.json, and so no model that can be loaded',
    );
    hub.add('owner/weightless', { 'config.json': '{}' });
    expect((await refusal(download('owner/weightless'))).message).toContain('has no weights');
  });

  test('a gated one, until the token is given', async () => {
    const repo = hub.add(ID, FILES);
    repo.token = 'hf_right';
    expect((await refusal(download(ID))).message).toMatch(/without a token \(401\).*set HF_TOKEN/);
    process.env.HF_TOKEN = 'hf_wrong';
    expect(await refusal(download(ID))).toMatchObject({ code: 'ERR_HUB_ACCESS', status: 403 });
    process.env.HF_TOKEN = 'secret';
    expect((await refusal(download(ID))).message).toMatch(/does not begin with hf_$/);
    delete process.env.HF_TOKEN;
    fs.writeFileSync(path.join(room, 'token'), 'hf_right\n');
    expect(fs.existsSync(await download(ID))).toBe(true);
  });

  test('a name that is none, before anything is asked', async () => {
    for (const id of ['../x', '/a/b', 'a', 'a/b/c', 'a/..', '.a/b', 'a/b.git', 'a--b/c']) {
      await expect(download(id)).rejects.toThrow('expected a repository of the Hub, owner/name, for id');
    }
    for (const revision of ['../../x', 'a//b', '', '/x'])
      await expect(download(ID, { revision })).rejects.toThrow('for revision');
    expect(hub.requests).toEqual([]);
  });
});

describe('interrupted and hostile', () => {
  test('a transfer that breaks off goes on where it was', async () => {
    hub.add(ID, FILES);
    hub.instead.set('model.safetensors', [cutAfter(100_000), cutAfter(50_000)]);
    const folder = await download(ID);
    expect(fs.readFileSync(path.join(folder, 'model.safetensors')).equals(large)).toBe(true);
    expect(hub.bodies.filter((name) => name.startsWith('model'))).toEqual([
      'model.safetensors',
      `model.safetensors bytes=100000-${large.length - 1}`,
      `model.safetensors bytes=150000-${large.length - 1}`,
    ]);
  });

  test('one that is given up leaves nothing that is taken for the file, and the next call goes on', async () => {
    hub.add(ID, FILES);
    hub.instead.set('model.safetensors', [cutAfter(1000), ...Array.from({ length: 3 }, () => cutAfter(0))]);
    const error = await refusal(download(ID));
    expect(error.code).toBe('ERR_HUB_OFFLINE');
    expect(error.message).toContain('the transfer of model.safetensors broke off');
    const digest = createHash('sha256').update(large).digest('hex');
    const blobs = (): string[] => fs.readdirSync(path.join(repository(), 'blobs')).filter((name) => name.startsWith(digest));
    expect(blobs()).toEqual([`${digest}.incomplete`]);
    process.env.HF_HUB_OFFLINE = '1';
    await refusal(download(ID));
    delete process.env.HF_HUB_OFFLINE;
    hub.requests.length = 0;
    await download(ID);
    expect(hub.bodies).toEqual([`model.safetensors bytes=1000-${large.length - 1}`, 'config.json']);
    expect(blobs()).toEqual([digest]);
  });

  test('a server that begins anew instead of going on is borne', async () => {
    hub.add(ID, FILES);
    hub.instead.set('model.safetensors', [cutAfter(1000), (_, response, content) => void response.writeHead(200).end(content)]);
    expect(fs.readFileSync(path.join(await download(ID), 'model.safetensors')).equals(large)).toBe(true);
  });

  test('other bytes than the listed ones are refused, and leave nothing', async () => {
    hub.add(ID, FILES);
    hub.instead.set('model.safetensors', [(_, response) => void response.writeHead(200).end(Buffer.alloc(large.length, 'x'))]);
    expect((await refusal(download(ID))).message).toContain('has not the digest');
    expect(fs.readdirSync(path.join(repository(), 'blobs')).filter((name) => name.length >= 64)).toEqual([]);
    expect(hub.bodies.filter((name) => name === 'model.safetensors')).toHaveLength(1);
  });

  test('what an interrupted process wrote wrongly is replaced', async () => {
    hub.add(ID, FILES);
    const digest = createHash('sha256').update(large).digest('hex');
    fs.mkdirSync(path.join(repository(), 'blobs'), { recursive: true });
    fs.writeFileSync(path.join(repository(), 'blobs', `${digest}.incomplete`), Buffer.alloc(5000, 'y'));
    expect(fs.readFileSync(path.join(await download(ID), 'model.safetensors')).equals(large)).toBe(true);
  });

  test('names and digests that point elsewhere', async () => {
    const index = JSON.stringify({ weight_map: { a: '../../../../evil.safetensors' } });
    hub.add(ID, { 'config.json': '{}', 'model.safetensors.index.json': index });
    await expect(download(ID)).rejects.toThrow(FileError);
    await expect(download(ID)).rejects.toThrow(
      'expected plain names of files in weight_map but received "../../../../evil.safetensors"',
    );
    hub.add('owner/absent', { 'config.json': '{}', 'model.safetensors.index.json': '{"weight_map":{"a":"b.safetensors"}}' });
    await expect(download('owner/absent')).rejects.toThrow('names "b.safetensors", which is not there');
    hub.add('owner/other', FILES);
    hub.odd.push({ type: 'file', path: '../../evil.json', size: 3, oid: 'e'.repeat(40) });
    const folder = await download('owner/other');
    expect(fs.readdirSync(folder).sort()).toEqual(NEEDED);
    expect(fs.readdirSync(room).sort()).toEqual(['hub']);
    hub.odd.push({ type: 'file', path: 'tokenizer.json', size: 3, oid: '../../../evil' });
    hub.add('owner/digest', FILES);
    expect((await refusal(download('owner/digest'))).message).toContain('no size and digest for "tokenizer.json"');
  });

  test('an answer that is none', async () => {
    hub.add(ID, FILES, 'no commit');
    const error = await refusal(download(ID));
    expect(error.code).toBe('ERR_HUB');
    expect(error.message).toContain('answered what was not expected');
  });

  test('a signal stops it', async () => {
    hub.add(ID, FILES);
    const controller = new AbortController();
    const reason = new Error('enough');
    hub.instead.set('model.safetensors', [
      (_, response, content) => {
        response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 10));
        setTimeout(() => controller.abort(reason), 50);
      },
    ]);
    await expect(download(ID, { signal: controller.signal })).rejects.toBe(reason);
    await expect(download(ID, { signal: controller.signal })).rejects.toBe(reason);
    expect(fs.existsSync(path.join(await download(ID), 'config.json'))).toBe(true);
  });
});

describe('a name of a model', () => {
  test.each<[string, boolean]>([
    ['Salesforce/blip2-opt-2.7b', true],
    ['owner/name', true],
    ['google/flan-t5-xl', true],
    ['./owner', false],
    ['../name', false],
    ['/owner/name', false],
    ['owner/name/more', false],
    ['name', false],
    ['~/name', false],
    ['owner/', false],
    ['weights/eva_vit_g.pth', false],
    ['owner/name.', false],
    ['a b/c', false],
  ])('%s may be of the Hub: %p', (text, expected) => expect(isHubId(text)).toBe(expected));

  test('means the folder wherever there is one, and the Hub only where it can', async () => {
    hub.add(ID, FILES);
    const home = process.cwd();
    process.chdir(room);
    try {
      fs.mkdirSync(ID, { recursive: true });
      expect(await pretrainedFolder(ID)).toBe(ID);
      fs.rmSync(ID, { recursive: true });
      for (const place of ['/nope', './nope', 'nope', '../nope/x']) {
        await expect(pretrainedFolder(place)).rejects.toThrow(`${place}: there is no such folder`);
      }
      expect(hub.requests).toEqual([]);
      expect(await pretrainedFolder(ID)).toContain('snapshots');
      expect((await refusal(pretrainedFolder('owner/none'))).message).toMatch(
        /^owner\/none: there is no folder of this name, and of the Hub: /,
      );
    } finally {
      process.chdir(home);
    }
  });

  test('of a model that is loaded at once says how the Hub is asked', () => {
    expect(() => loadLanguageModel('/nope')).toThrow(/^\/nope: there is no such folder$/);
    expect(() => Blip2ForConditionalGeneration.fromPretrained(ID)).toThrow(
      `${ID}: there is no such folder; for the Hub's repository of this name, give what download("${ID}") resolves to`,
    );
  });
});
