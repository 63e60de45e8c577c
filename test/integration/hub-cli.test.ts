// A model of the Hub from the command line and from code: downloaded once, then found.
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { Blip2, Blip2Retrieval, FileError, HubError } from '../../src/index.ts';
import { generativeCheckpoint, retrievalCheckpoint } from '../support/checkpoints.ts';
import { blip2, start } from '../support/cli.ts';
import { javascriptOf, moduleOf, snippetsOf } from '../support/docs.ts';
import { FakeHub } from '../support/hub.ts';
import { makeLanguageModel, makeTinyWorld } from '../support/tiny-world.ts';

const photo = path.join(import.meta.dirname, '../fixtures/photos/rocket.jpg');
const few = ['--max-new-tokens', '4', '--num-beams', '2', '--threads', '1'];
const hub = new FakeHub();
const room = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-hub-cli-'));
const folder = generativeCheckpoint();
let env: NodeJS.ProcessEnv;
let caption: string;

beforeAll(async () => {
  const { HF_TOKEN: _, HF_HUB_CACHE: __, HF_HUB_OFFLINE: ___, BLIP2_MODEL: ____, ...rest } = process.env;
  env = { ...rest, HF_ENDPOINT: await hub.start(), HF_HOME: path.join(room, 'home') };
  hub.add('owner/small', folder);
  hub.add('Salesforce/blip2-opt-2.7b', folder);
  caption = (await blip2(['caption', photo, '--model', folder, ...few])).out;
});
afterAll(async () => {
  await hub.stop();
  for (const made of [room, folder]) fs.rmSync(made, { recursive: true, force: true });
});

test('is downloaded once, with its size on standard error and the caption on standard output', async () => {
  const first = await blip2(['caption', photo, '--model', 'owner/small', ...few], room, env);
  const cache = path.join(room, 'home/hub');
  expect([first.code, first.out]).toEqual([0, caption]);
  expect(first.err).toMatch(/^downloading owner\/small: \d+ MB into .*\n {2}downloading: \d+ of \d+ MB\n$/);
  expect(first.err).toContain(cache);
  hub.requests.length = 0;
  const again = await blip2(['caption', photo, '--model', 'owner/small', ...few], room, { ...env, HF_HUB_OFFLINE: '1' });
  expect(again).toMatchObject({ code: 0, out: caption, err: '' });
  expect(hub.requests).toEqual([]);
});

test('is the default, or what BLIP2_MODEL says, and which is said', async () => {
  const usual = await blip2(['caption', photo, ...few], room, env);
  expect([usual.code, usual.out]).toEqual([0, caption]);
  expect(usual.err).toMatch(
    /^model: Salesforce\/blip2-opt-2\.7b \(the default; --model takes another\)\ndownloading Salesforce\/blip2-opt-2\.7b: /,
  );
  const named = { ...env, BLIP2_MODEL: folder };
  const said = `model: ${folder} (BLIP2_MODEL says so; --model takes another)\n`;
  expect(await blip2(['caption', photo, ...few], room, named)).toMatchObject({ code: 0, out: caption, err: said });
  const answer = await blip2(['vqa', photo, 'what is it?', ...few], room, named);
  const told = await blip2(['vqa', photo, 'what is it?', '--model', folder, ...few], room, env);
  expect(answer).toMatchObject({ code: 0, out: told.out, err: said });
  const talk = start(['chat', photo, '--max-new-tokens', '4', '--threads', '1'], room, { ...env, BLIP2_MODEL: 'owner/small' });
  talk.child.stdin?.end('what is it?\n');
  const { code, out, err } = await talk.ended;
  expect([code, out.endsWith('\n'), err.startsWith('model: owner/small (BLIP2_MODEL')]).toEqual([0, true, true]);
});

test('is not asked for where a folder has its name, nor where the picture is not there', async () => {
  fs.cpSync(folder, path.join(room, 'own/folder'), { recursive: true });
  hub.requests.length = 0;
  expect(await blip2(['caption', photo, '--model', 'own/folder', ...few], room, env)).toMatchObject({ code: 0, out: caption });
  const absent = await blip2(['caption', 'no.jpg', '--model', 'owner/large'], room, env);
  expect(absent).toMatchObject({ code: 1, err: 'blip2: no.jpg: there is no such picture\n' });
  const nowhere = await blip2(['vqa', photo, 'what?', '--model', './owner/small'], room, env);
  expect(nowhere).toMatchObject({ code: 1, err: 'blip2: ./owner/small: there is no such folder\n' });
  expect(hub.requests).toEqual([]);
});

test('that cannot be had ends the command with what to do', async () => {
  const { code, out, err } = await blip2(['caption', photo, '--model', 'owner/none'], room, env);
  expect([code, out]).toEqual([1, '']);
  expect(err).toMatch(/^blip2: owner\/none: there is no folder of this name, and of the Hub: http.*\(401\).*HF_TOKEN.*\n$/);
  const offline = await blip2(['caption', photo, '--model', 'owner/none'], room, { ...env, HF_HUB_OFFLINE: '1' });
  expect(offline.code).toBe(1);
  expect(offline.err).toMatch(/HF_HUB_OFFLINE is set.*give a folder/);
});

test('stops with a signal, and goes on the next time', async () => {
  const { files } = hub.add('owner/slow', folder);
  hub.instead.set('model.safetensors', [
    (_, response, content) => {
      response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 5000));
      setTimeout(() => running.child.kill('SIGINT'), 300);
    },
  ]);
  const running = start(['caption', photo, '--model', 'owner/slow', ...few], room, env);
  expect(await running.ended).toMatchObject({ code: 130, out: '', err: expect.stringMatching(/blip2: ended by SIGINT\n$/) });
  hub.requests.length = 0;
  expect(await blip2(['caption', photo, '--model', 'owner/slow', ...few], room, env)).toMatchObject({ code: 0, out: caption });
  const size = (files.get('model.safetensors') as Buffer).length;
  expect(hub.bodies).toContain(`model.safetensors bytes=5000-${size - 1}`);
});

test('is evaluated like any other', async () => {
  const retrieval = retrievalCheckpoint();
  hub.add('owner/itm', retrieval);
  const lines = ['rocket.jpg', 'coffee.png'].map((image, i) => JSON.stringify({ image, image_id: i, caption: `a photo ${i}` }));
  fs.writeFileSync(path.join(room, 'two.jsonl'), lines.join('\n'));
  const data = ['--data', path.join(room, 'two.jsonl'), '--images', path.dirname(photo), '--threads', '1', '--json'];
  const figures = async (model: string) => (await blip2(['eval', 'retrieval', '--model', model, ...data], room, env)).out;
  const own = await figures(retrieval);
  expect(JSON.parse(own)).toMatchObject({ pictures: 2 });
  expect(await figures('owner/itm')).toBe(own);
  fs.rmSync(retrieval, { recursive: true });
});

test('of code: Blip2 and Blip2Retrieval take it, and tell of a folder that is not there', async () => {
  const url = JSON.stringify(pathToFileURL(path.resolve('dist/index.js')).href);
  const script = `import { Blip2 } from ${url};
    const told = [];
    const onProgress = (progress) => told.push(progress);
    const blip2 = await Blip2.fromPretrained('owner/coded', { threads: 1, revision: 'main', onProgress });
    console.log(await blip2.caption(${JSON.stringify(photo)}, { maxNewTokens: 4, numBeams: 2 }));
    await blip2.close();
    console.log(told[0].done, told.at(-1).done === told[0].total);`;
  hub.add('owner/coded', folder);
  fs.writeFileSync(path.join(room, 'code.mjs'), script);
  // In a process of its own: this one has another environment.
  const { stdout: running } = await promisify(execFile)(process.execPath, [path.join(room, 'code.mjs')], { env });
  expect(running).toBe(`${caption}0 true\n`);
  for (const kind of [Blip2, Blip2Retrieval]) {
    await expect(kind.fromPretrained('/nope')).rejects.toThrow(FileError);
    await expect(kind.fromPretrained('/nope')).rejects.toThrow(/^\/nope: there is no such folder$/);
    await expect(kind.fromPretrained('./no/pe')).rejects.toThrow(/^\.\/no\/pe: there is no such folder$/);
  }
  process.env.HF_HUB_OFFLINE = '1';
  try {
    await expect(Blip2.fromPretrained('owner/never')).rejects.toThrow(HubError);
  } finally {
    delete process.env.HF_HUB_OFFLINE;
  }
});

test('the snippet of docs/hub.md runs as it stands', async () => {
  const docs = path.join(room, 'docs');
  fs.mkdirSync(docs);
  fs.copyFileSync(photo, path.join(docs, 'beach.jpg'));
  const library = pathToFileURL(path.resolve('dist/index.js')).href;
  const check = { language: 'js' as const, code: 'console.log(folder, model.languageModel.config.modelType);' };
  fs.writeFileSync(path.join(docs, 'hub.mjs'), javascriptOf(moduleOf([...snippetsOf('docs/hub.md'), check], library)));
  const home = path.join(room, 'docs-home');
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['hub.mjs'], {
    cwd: docs,
    env: { ...env, HF_HOME: home },
  });
  expect(stderr).toBe('');
  expect(stdout).toMatch(
    /^0 of (\d+) bytes\n[\s\S]*\1 of \1 bytes\n[\s\S]*\n.*docs-home\/hub\/models--Salesforce--blip2-opt-2\.7b\/snapshots\/\w+ opt\n$/,
  );
});

test('frozen parts of training come from the Hub as well', async () => {
  const world = path.join(room, 'world');
  fs.mkdirSync(world);
  await makeTinyWorld(world);
  makeLanguageModel(world);
  hub.add('owner/opt', path.join(world, 'opt'));
  hub.add('owner/bert', path.join(world, 'bert'));
  const second = await blip2(
    ['train', 'stage2', '--show-recipe', '--language-model', 'owner/opt', '--model.num-query-tokens', '4'],
    world,
    env,
  );
  expect([second.code, second.err]).toEqual([0, expect.stringMatching(/^downloading owner\/opt: /)]);
  const { languageModelWeights, tokenizer, languageModel } = JSON.parse(second.out) as Record<string, string>;
  expect(languageModelWeights).toMatch(/home\/hub\/models--owner--opt\/snapshots\/[0-9a-f]{40}$/);
  expect([tokenizer, languageModel]).toEqual([languageModelWeights, expect.objectContaining({ modelType: 'opt' })]);
  // Only to show it, the weights are not needed.
  expect(fs.readdirSync(languageModelWeights as string)).not.toContain('model.safetensors');
  const first = await blip2(['train', 'stage1', '--show-recipe', '--bert', 'owner/bert', '--text.max-length', '8'], world, env);
  expect([first.code, first.err]).toEqual([0, expect.stringMatching(/^downloading owner\/bert: /)]);
  expect(JSON.parse(first.out)).toMatchObject({ bert: expect.stringContaining('models--owner--bert') });
});
