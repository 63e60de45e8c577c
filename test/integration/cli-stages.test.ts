import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Blip2ForPretraining, loadSafetensors } from '../../src/index.ts';
import { blip2, type Ended } from '../support/cli.ts';
import { makeLanguageModel, makeTinyWorld, tinyFlags } from '../support/tiny-world.ts';

let world: string;
beforeAll(async () => {
  world = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-stages-'));
  await makeTinyWorld(world);
  makeLanguageModel(world);
});
afterAll(() => fs.rmSync(world, { recursive: true }));

const at = (...names: string[]): string => path.join(world, ...names);
const ok = ({ code, err }: Ended): unknown => ({ code, err: code === 0 ? '' : err });
const OK = { code: 0, err: '' };

/** From the one stage to the other, and to a model that others can use: in this order. */
test('stage 1: trained, asked for captions, exported', async () => {
  const trained = await blip2([
    'train',
    'stage1',
    '--out',
    at('run1'),
    ...tinyFlags(world),
    '--data',
    at('captions.jsonl'),
    '--steps',
    '12',
  ]);
  expect(ok(trained)).toEqual(OK);

  const picture = at('pictures/red-blue.png');
  const tower = at('tower.safetensors');
  const moved = at('elsewhere.safetensors');
  fs.renameSync(tower, moved);
  const where = ['--vision-weights', moved];
  const own = ['--threads', '1', '--model', at('run1')];
  const retrieval = [
    'eval',
    'retrieval',
    '--data',
    at('karpathy.json'),
    '--images',
    at('pictures'),
    '--top-k',
    '3',
    '--json',
    ...own,
  ];
  const commands = [['caption', picture, ...own], retrieval, ['export', at('run1'), '--to', at('moved')]];
  const lost = await Promise.all(commands.map((command) => blip2(command)));
  const now = 'visionWeights (--vision-weights) says where they are now';
  for (const { code, err } of lost)
    expect([code, err]).toEqual([
      1,
      `blip2: ${tower}: there are no weights of the vision tower any more, where the run had them: ${now}\n`,
    ]);
  const found = await Promise.all(commands.map((command) => blip2([...command, ...where])));
  expect(found.map(ok)).toEqual([OK, OK, OK]);
  fs.renameSync(moved, tower);
  const before = await Promise.all(commands.map((command) => blip2(command)));
  expect(found.map(({ out }) => out)).toEqual(before.map(({ out }) => out));
  const none = await blip2([...retrieval.slice(0, -1), at('moved'), ...where]);
  expect([none.code, none.err]).toEqual([2, expect.stringContaining('--vision-weights')]);
  const wordy = await blip2(['export', at('run1'), '--to', at('wordy'), '--language-model', at('language')]);
  expect([wordy.code, wordy.err]).toEqual([
    2,
    expect.stringContaining('expected none, as this is a run of stage 1, for --language-model'),
  ]);
  const caption = await blip2(['caption', picture, '--model', at('run1'), '--threads', '1', '--json']);
  expect(ok(caption)).toEqual(OK);
  const { image, caption: text } = JSON.parse(caption.out) as { image: string; caption: string };
  expect([image, typeof text]).toEqual([picture, 'string']);
  const prompted = await blip2(['caption', picture, '--model', at('run1'), '--prompt', 'a photo of']);
  expect([prompted.code, prompted.err]).toEqual([2, expect.stringContaining('--prompt is for models with a language model')]);

  const output = at('scored.json');
  const data = ['--data', at('karpathy.json'), '--images', at('pictures'), '--output', output, '--json'];
  const scored = await blip2(['eval', 'caption', '--model', at('run1'), ...data, '--threads', '1', '--checkpoint', '12']);
  expect(ok(scored)).toEqual(OK);
  const { pictures, metrics } = JSON.parse(scored.out) as { pictures: number; metrics: Record<string, number> };
  expect([pictures, Object.keys(metrics)]).toEqual([3, ['bleu1', 'bleu2', 'bleu3', 'bleu4', 'rougeL', 'ciderD']]);
  // Written as by the command for pictures: 3 beams, 10 to 30 tokens.
  const [first] = JSON.parse(fs.readFileSync(output, 'utf8')) as { image_id: number; caption: string }[];
  const { images } = JSON.parse(fs.readFileSync(at('karpathy.json'), 'utf8')) as {
    images: { cocoid: number; filename: string }[];
  };
  const { filename = '' } = images.find(({ cocoid }) => cocoid === first?.image_id) ?? {};
  const same = await blip2(['caption', at('pictures', filename), '--model', at('run1'), '--threads', '1']);
  expect(same.out).toBe(`${first?.caption}\n`);
  const wrong = await blip2(['eval', 'caption', '--model', at('run1'), ...data, '--prompt', 'a photo of']);
  expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('--prompt is for models with a language model')]);

  const exported = await blip2(['export', at('run1'), '--to', at('itm')]);
  expect(ok(exported)).toEqual(OK);
  const again = await blip2(['export', at('run1'), '--to', at('itm')]);
  const remedy = 'expected a new name or an empty folder for --to, or --overwrite';
  expect([again.code, again.err]).toEqual([1, `blip2: ${at('itm')}: has files in it: ${remedy}\n`]);
  const onFile = await blip2(['export', at('run1'), '--to', at('bert/vocab.txt'), '--format', 'lavis']);
  expect([onFile.code, onFile.err]).toEqual([1, expect.stringContaining(`is there already: ${remedy}`)]);
  expect(ok(await blip2(['export', at('run1'), '--to', at('itm'), '--overwrite']))).toEqual(OK);
  const nowhere = await blip2(['export', at('run1'), '--to', '/proc/x']);
  if (process.platform === 'linux')
    expect([nowhere.code, nowhere.err]).toEqual([1, expect.stringContaining('blip2: /proc/x: cannot be written: ')]);
  const model = Blip2ForPretraining.fromPretrained(at('itm'));
  const saved = loadSafetensors(at('run1/checkpoints/step-00000012/model.safetensors'));
  for (const [name, value] of saved) expect([name, model.stateDict().get(name)?.equal(value)]).toEqual([name, true]);
  model.dispose();
  const figures = async (folder: string): Promise<Record<string, number>> => {
    const args = ['eval', 'retrieval', '--model', folder, '--data', at('karpathy.json'), '--images', at('pictures'), '--json'];
    const measured = await blip2([...args, '--top-k', '3', '--threads', '1']);
    expect(ok(measured)).toEqual(OK);
    return JSON.parse(measured.out).metrics;
  };
  expect(await figures(at('itm'))).toEqual(await figures(at('run1')));

  const lavis = await blip2([
    'export',
    at('run1/checkpoints/step-00000012'),
    '--to',
    at('lavis.safetensors'),
    '--format',
    'lavis',
  ]);
  expect(ok(lavis)).toEqual(OK);
  expect(loadSafetensors(at('lavis.safetensors')).has('Qformer.bert.embeddings.word_embeddings.weight')).toBe(true);
}, 600_000);

test('stage 2: trained on from it, resumed, exported, and asked', async () => {
  const language = ['--language-model', at('opt'), '--language-model-dtype', 'float32', '--precision', 'float32'];
  const flags = [
    '--from',
    at('run1'),
    ...language,
    '--schedule.warmup-steps',
    '1',
    '--batch-size',
    '6',
    '--threads',
    '1',
    '--workers',
    '1',
  ];
  const data = [
    '--data',
    at('captions.jsonl'),
    '--images',
    at('pictures'),
    '--evaluation.data',
    at('pictures'),
    '--evaluation.every',
    '3',
  ];
  const train = (out: string, steps: string) => [
    'train',
    'stage2',
    '--out',
    at(out),
    ...flags,
    ...data,
    '--steps',
    steps,
    '--json',
  ];
  const trained = await blip2(train('run2', '6'));
  expect(ok(trained)).toEqual(OK);
  const { reason, best } = JSON.parse(trained.out) as { reason: string; best: { step: number; value: number } };
  expect([reason, [3, 6].includes(best.step)]).toEqual(['done', true]);
  const lines = fs
    .readFileSync(at('run2/log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const evaluated = lines.filter(({ type }) => type === 'evaluation');
  expect(evaluated.map(({ step }) => step)).toEqual([3, 6]);
  expect(Math.min(...evaluated.map(({ metrics }) => metrics.lm))).toBe(best.value);

  const again = await blip2(['train', 'stage2', '--out', at('run2'), '--resume']);
  expect(ok(again)).toEqual(OK);
  expect(again.err).toContain('going on after step 6');
  const other = await blip2(['train', 'stage1', '--out', at('run2'), '--resume']);
  expect([other.code, other.err]).toEqual([
    1,
    expect.stringContaining('run.json: expected "stage1" for stage but received "stage2"'),
  ]);

  const exported = await blip2(['export', at('run2'), '--to', at('whole'), '--json']);
  expect(ok(exported)).toEqual(OK);
  expect(exported.err).toBe(`written: ${at('whole')}\n`);
  expect(JSON.parse(exported.out)).toEqual({
    stage: 'stage2',
    checkpoint: at('run2/checkpoints/step-00000006'),
    format: 'hf',
    target: at('whole'),
  });
  fs.renameSync(at('opt'), at('opt-elsewhere'));
  fs.renameSync(at('tower.safetensors'), at('elsewhere.safetensors'));
  const moved = ['--vision-weights', at('elsewhere.safetensors'), '--language-model', at('opt-elsewhere')];
  expect(ok(await blip2(['export', at('run2'), '--to', at('whole-moved'), ...moved]))).toEqual(OK);
  for (const name of fs.readdirSync(at('whole')))
    expect([name, fs.readFileSync(at('whole-moved', name)).equals(fs.readFileSync(at('whole', name)))]).toEqual([name, true]);
  const few = ['--model', at('whole'), '--max-new-tokens', '4', '--threads', '1'];
  const caption = await blip2(['caption', at('pictures/red-blue.png'), ...few]);
  expect(ok(caption)).toEqual(OK);
  const early = await blip2(['caption', at('pictures/red-blue.png'), '--model', at('run2')]);
  expect([early.code, early.err]).toEqual([
    1,
    expect.stringContaining('but there is a run of stage 2; blip2 export makes a folder'),
  ]);
}, 600_000);
