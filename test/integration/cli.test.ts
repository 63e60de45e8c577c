import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { candidates } from '../../src/native/locate.ts';
import { generativeCheckpoint, retrievalCheckpoint } from '../support/checkpoints.ts';
import { blip2, start } from '../support/cli.ts';

const photo = path.join(import.meta.dirname, '../fixtures/photos/rocket.jpg');
let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-cli-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

describe('help', () => {
  test.each<[string[], string[]]>([
    [
      [],
      [
        'Usage: blip2 [options] [command]',
        'train',
        'eval',
        'caption',
        'setup',
        'doctor',
        'Exit status: 0 done, 1 failed, 2 wrong call',
      ],
    ],
    [
      ['train', 'stage1'],
      ['--data <source...>', '--resume', '--batch-size <value>', '(1680)', '--schedule.peak <value>', '(1e-4)', 'Examples:'],
    ],
    [
      ['eval', 'retrieval'],
      ['--model <model>', '--top-k <value>', '(128)', 'Examples:'],
    ],
    [
      ['train', 'stage2'],
      ['--from <run>', '--language-model <folder>', '(1920)', '--language-model-dtype <value>', 'Examples:'],
    ],
    [['export'], ['<run>', '--to <folder>', 'Examples:']],
    [['vqa'], ['<question...>', '--answers <answer...>', 'Examples:']],
    [['chat'], ['Ctrl-C', 'Examples:']],
    [
      ['eval', 'vqa'],
      ['--annotations <file>', 'Example:'],
    ],
    [['caption'], ['<picture...>', '--model <model>', 'BLIP2_MODEL', '--prompt <text>', '--num-beams <value>', 'Examples:']],
  ])('of %j', async (command, words) => {
    const { code, out, err } = await blip2([...command, '--help']);
    expect([code, err]).toEqual([0, '']);
    for (const word of words) expect(out).toContain(word);
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThan(130);
    expect(out).not.toContain('undefined');
  });

  test('fields that it does not list have flags all the same', async () => {
    const { out } = await blip2(['train', 'stage1', '--help']);
    expect(out).not.toContain('--model.qformer-config');
    const shown = await blip2([
      'train',
      'stage1',
      '--show-recipe',
      '--model.qformer-config.num-hidden-layers',
      '3',
      '--optimizer.betas',
      '0.9,0.95',
    ]);
    expect(JSON.parse(shown.out)).toMatchObject({
      model: { qformerConfig: { numHiddenLayers: 3 } },
      optimizer: { betas: [0.9, 0.95] },
    });
  });
});

describe('wrong calls end with 2, and say what was expected', () => {
  test.each<[string[], RegExp]>([
    [[], /^Usage: blip2/],
    [['trian'], /^blip2: unknown command 'trian'\n\(Did you mean train\?\)/],
    [['train', 'stage1', '--bacth-size', '3'], /^blip2: unknown option '--bacth-size'\n\(Did you mean --batch-size\?\)/],
    [['train', 'stage1', '--model.num-query-token', '3'], /Did you mean --model\.num-query-tokens\?/],
    [['train', 'stage1', '--batch-size', 'many'], /^blip2: expected a positive integer for --batch-size but received "many"\n$/],
    [['train', 'stage1', '--schedule.peak', '-1'], /^blip2: expected a number above 0 for --schedule\.peak but received -1\n$/],
    [
      ['train', 'stage1', '--vision', 'vit-h'],
      /^blip2: expected eva-vit-g, clip-vit-l or a folder for --vision but received "vit-h"\n$/,
    ],
    [
      ['train', 'stage1', '--vision', 'eva-vit-g', '--vision.config.image-size', '28'],
      /^blip2: expected nothing beside --vision eva-vit-g/,
    ],
    [['train', 'stage1'], /^blip2: expected a folder for --out but received none\n$/],
    [
      ['train', 'stage1', '--out', 'x'],
      /^blip2: expected a file or folder of pictures with captions, or a list of them for --data but received none\n$/,
    ],
    [['train', 'stage1', '--device', 'tpu'], /^blip2: expected cpu, cuda or cuda:<number> for --device but received "tpu"\n$/],
    [['eval', 'retrieval', '--data', 'x'], /^blip2: expected a folder for --model but received none\n$/],
    [['eval', 'caption', '--data', 'x'], /^blip2: required option '--model <model>' not specified/],
    [
      ['train', 'stage1', '--bert', '/nope'],
      /^blip2: expected a BERT's folder, or random for --bert but received "\/nope", which is not there\n$/,
    ],
    [
      ['train', 'stage1', '--bert', 'random', '--tokenizer', './nope'],
      /^blip2: expected a tokenizer's folder for --tokenizer but received "\.\/nope", which is not there\n$/,
    ],
    [['caption', '--model', 'x'], /^blip2: missing required argument 'picture'/],
  ])('%j', async (args, message) => {
    const { code, out, err } = await blip2(args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(message);
    expect(err).not.toMatch(/^ {4}at /m);
  });
});

test('output that nobody reads to its end is no mistake', async () => {
  const running = start(['train', 'stage1', '--show-recipe']);
  running.child.stdout?.destroy();
  const { code, err } = await running.ended;
  expect([code, err]).toEqual([141, '']);
});

describe('what fails ends with 1 and a message', () => {
  test.each<[string[], RegExp]>([
    [['caption', photo, '--model', 'nowhere'], /^blip2: nowhere: there is no such folder\n$/],
    [['train', 'stage1', '--config', 'nowhere.json'], /^blip2: nowhere\.json: cannot be read: ENOENT/],
    [['eval', 'retrieval', '--model', 'x', '--data', 'nowhere.jsonl'], /^blip2: nowhere\.jsonl: cannot be read: ENOENT/],
  ])('%j', async (args, message) => {
    const { code, out, err } = await blip2(args);
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(message);
  });
});

test('captions of pictures, for people and for programs', async () => {
  const model = generativeCheckpoint();
  try {
    const one = await blip2(['caption', photo, '--model', model, '--max-new-tokens', '5', '--num-beams', '2', '--threads', '1']);
    expect([one.code, one.err]).toEqual([0, '']);
    const other = path.join(path.dirname(photo), 'coffee.png');
    const both = await blip2([
      'caption',
      photo,
      other,
      '--model',
      model,
      '--max-new-tokens',
      '5',
      '--num-beams',
      '2',
      '--threads',
      '1',
      '--workers',
      '2',
      '--json',
    ]);
    const lines = both.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { image: string; caption: string });
    expect(lines.map(({ image }) => image)).toEqual([photo, other]);
    expect(one.out).toBe(`${lines[0]?.caption}\n`);
    const wrong = await blip2(['caption', photo, '--model', model, '--num-beams', '0']);
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringMatching(/for --num-beams but received 0\n$/)]);
    const broken = await blip2(['caption', import.meta.filename, '--model', model]);
    expect([broken.code, broken.err]).toEqual([1, expect.stringContaining('cli.test.ts')]);
  } finally {
    fs.rmSync(model, { recursive: true });
  }
});

test("retrieval with Hugging Face's folder", async () => {
  const model = retrievalCheckpoint();
  try {
    const photos = path.dirname(photo);
    const lines = ['rocket.jpg', 'coffee.png', 'chelsea.png'].map((image) =>
      JSON.stringify({ image, caption: `a photo of ${image}` }),
    );
    fs.writeFileSync(path.join(folder, 'photos.jsonl'), lines.join('\n'));
    const args = [
      'eval',
      'retrieval',
      '--model',
      model,
      '--data',
      path.join(folder, 'photos.jsonl'),
      '--images',
      photos,
      '--threads',
      '1',
    ];
    const { code, out, err } = await blip2([...args, '--json']);
    expect([code, code === 0 ? '' : err]).toEqual([0, '']);
    const { pictures, texts, metrics } = JSON.parse(out) as { pictures: number; texts: number; metrics: Record<string, number> };
    expect([pictures, texts]).toEqual([3, 3]);
    expect(metrics).toMatchObject({ imageToTextRecall5: 100, textToImageRecall10: 100 });
    const wrong = await blip2(['caption', photo, '--model', model]);
    expect([wrong.code, wrong.err]).toEqual([
      1,
      expect.stringContaining("but there is a folder of Hugging Face's Blip2ForImageTextRetrieval"),
    ]);
  } finally {
    fs.rmSync(model, { recursive: true });
  }
});

describe('a model that writes', () => {
  let model: string;
  const few = ['--max-new-tokens', '4', '--threads', '1'];
  beforeAll(() => {
    model = generativeCheckpoint();
  });
  afterAll(() => fs.rmSync(model, { recursive: true }));

  test('answers questions, and chooses among answers', async () => {
    const [first, second] = ['what is it?', 'what colour is it?'];
    const free = await blip2(['vqa', photo, first as string, second as string, '--model', model, ...few, '--json']);
    expect([free.code, free.err]).toEqual([0, '']);
    const lines = free.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, string>);
    expect(lines.map(({ image, question }) => [image, question])).toEqual([
      [photo, first],
      [photo, second],
    ]);
    const alone = await blip2(['vqa', photo, second as string, '--model', model, ...few]);
    expect(alone.out).toBe(`${lines[1]?.answer}\n`);
    const chosen = await blip2([
      'vqa',
      photo,
      first as string,
      '--model',
      model,
      '--threads',
      '1',
      '--answers',
      'a rocket',
      'a cat',
    ]);
    expect(chosen.err).toBe('');
    const shares = [...chosen.out.matchAll(/^ *([\d.]+) % {2}(a rocket|a cat)$/gm)].map(([, share]) => Number(share));
    expect(shares).toHaveLength(2);
    expect((shares[0] as number) + (shares[1] as number)).toBeCloseTo(100, 0);
    const wrong = await blip2(['vqa', photo, first as string, '--model', model, '--answers', 'a cat', '--num-beams', '2']);
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('with --answers nothing is written')]);
    const blank = await blip2(['vqa', photo, first as string, ' ', '--model', model]);
    expect([blank.code, blank.out, blank.err]).toEqual([2, '', 'blip2: a question must not be blank\n']);
  });

  test('talks: a question a line', async () => {
    const talk = start(['chat', photo, '--model', model, ...few, '--json']);
    talk.child.stdin?.end('what is it?\n\nand why?\n');
    const { code, out, err } = await talk.ended;
    expect([code, err]).toEqual([0, '']);
    const turns = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, string>);
    expect(turns.map(({ question }) => question)).toEqual(['what is it?', 'and why?']);
    const plain = start(['chat', photo, '--model', model, ...few]);
    plain.child.stdin?.end('what is it?');
    expect((await plain.ended).out).toBe(`${turns[0]?.answer}\n`);
  });

  test('is measured on captions and on questions', async () => {
    const photos = path.dirname(photo);
    const lines = ['rocket.jpg', 'coffee.png'].map((image, i) => JSON.stringify({ image, image_id: i, caption: 'a photo' }));
    fs.writeFileSync(path.join(folder, 'two.jsonl'), lines.join('\n'));
    const output = path.join(folder, 'captions.json');
    const flags = ['--data', path.join(folder, 'two.jsonl'), '--images', photos, '--min-new-tokens', '0', '--output', output];
    const captions = await blip2(['eval', 'caption', '--model', model, ...few, ...flags, '--json']);
    expect([captions.code, captions.code === 0 ? '' : captions.err]).toEqual([0, '']);
    const { pictures, metrics } = JSON.parse(captions.out) as { pictures: number; metrics: Record<string, number> };
    expect([pictures, Object.keys(metrics)]).toEqual([2, ['bleu1', 'bleu2', 'bleu3', 'bleu4', 'rougeL', 'ciderD']]);
    expect(JSON.parse(fs.readFileSync(output, 'utf8'))).toMatchObject([{ image_id: 0 }, { image_id: 1 }]);

    fs.writeFileSync(path.join(folder, 'cut.jpg'), fs.readFileSync(photo).subarray(0, 500));
    const cut = { image: 'cut.jpg', image_id: 2, caption: 'a photo' };
    fs.mkdirSync(path.join(folder, 'three'));
    for (const name of ['rocket.jpg', 'coffee.png']) fs.copyFileSync(path.join(photos, name), path.join(folder, 'three', name));
    fs.copyFileSync(path.join(folder, 'cut.jpg'), path.join(folder, 'three/cut.jpg'));
    fs.writeFileSync(path.join(folder, 'three.jsonl'), [...lines, JSON.stringify(cut)].join('\n'));
    const three = ['--data', path.join(folder, 'three.jsonl'), '--images', path.join(folder, 'three'), '--min-new-tokens', '0'];
    const stopped = await blip2(['eval', 'caption', '--model', model, ...few, ...three]);
    expect([stopped.code, stopped.err]).toEqual([1, expect.stringContaining('cut.jpg: cannot be decoded')]);
    const rest = await blip2(['eval', 'caption', '--model', model, ...few, ...three, '--json', '--skip-broken']);
    expect(JSON.parse(rest.out)).toEqual({ pictures: 2, skipped: ['2'], metrics });
    expect(rest.err).toMatch(/left out 2: .*cut\.jpg: cannot be decoded/);

    const questions = { data_subtype: 'val2014', questions: [{ question_id: 1, image_id: 5, question: 'What is it?' }] };
    const answers = Array.from({ length: 10 }, () => ({ answer: 'rocket' }));
    const annotations = { annotations: [{ question_id: 1, image_id: 5, question_type: 'what', answer_type: 'other', answers }] };
    fs.writeFileSync(path.join(folder, 'questions.json'), JSON.stringify(questions));
    fs.writeFileSync(path.join(folder, 'annotations.json'), JSON.stringify(annotations));
    fs.copyFileSync(photo, path.join(folder, 'COCO_val2014_000000000005.jpg'));
    const files = ['--questions', path.join(folder, 'questions.json'), '--annotations', path.join(folder, 'annotations.json')];
    const asked = await blip2(['eval', 'vqa', '--model', model, '--threads', '1', ...files, '--answers', 'rocket']);
    expect([asked.code, asked.code === 0 ? '' : asked.err]).toEqual([0, '']);
    expect(asked.out).toMatch(/^accuracy +100\.00\nother +100\.00\nwhat +100\.00\n$/);
    const more = { ...questions, questions: [...questions.questions, { question_id: 2, image_id: 6, question: 'Why?' }] };
    fs.writeFileSync(path.join(folder, 'questions.json'), JSON.stringify(more));
    annotations.annotations.push({
      ...(annotations.annotations[0] as (typeof annotations.annotations)[0]),
      question_id: 2,
      image_id: 6,
    });
    fs.writeFileSync(path.join(folder, 'annotations.json'), JSON.stringify(annotations));
    fs.copyFileSync(path.join(folder, 'cut.jpg'), path.join(folder, 'COCO_val2014_000000000006.jpg'));
    const vqa = ['eval', 'vqa', '--model', model, '--threads', '1', ...files, '--answers', 'rocket'];
    expect((await blip2(vqa)).code).toBe(1);
    const left = await blip2([...vqa, '--skip-broken']);
    expect([left.code, left.out, left.err]).toEqual([0, asked.out, expect.stringContaining('1 questions (left out: 6)\n')]);
    const wrong = await blip2(['eval', 'vqa', '--model', model, ...files, '--answers', 'rocket', '--num-beams', '2']);
    expect([wrong.code, wrong.err]).toEqual([
      2,
      'blip2: with --answers nothing is written, so that flags of writing have no effect\n',
    ]);
  });
});

test('doctor and setup tell programs what they tell people', async () => {
  const plain = await blip2(['doctor']);
  const { code, out, err } = await blip2(['doctor', '--json']);
  expect([code, err]).toEqual([0, plain.out]);
  const used = candidates().find(({ taken }) => taken);
  expect(JSON.parse(out)).toMatchObject({
    works: true,
    node: { version: process.version, path: process.execPath },
    platform: `${process.platform}-${process.arch}`,
    libtorch: expect.arrayContaining([expect.objectContaining({ directory: used?.directory, taken: true })]),
    addons: expect.arrayContaining([expect.objectContaining({ version: used?.version })]),
    loads: { builtFor: used?.version },
    cuda: { devices: expect.any(Number) },
  });
  const done = await blip2(['setup', '--json']);
  expect([done.code, done.err]).toEqual([0, expect.stringContaining('is used')]);
  const { libtorch, addon, how } = JSON.parse(done.out) as { libtorch: object; addon: string; how: string };
  expect([libtorch, fs.existsSync(addon)]).toEqual([{ directory: used?.directory, version: used?.version }, true]);
  expect(['present', 'prebuilt']).toContain(how);
});

test('a signal ends a command as shells expect it, and leaves no half of a result', async () => {
  const model = generativeCheckpoint();
  try {
    const data = path.join(folder, 'many.jsonl');
    const line = (i: number): string => JSON.stringify({ image: 'rocket.jpg', image_id: i, caption: 'a rocket' });
    fs.writeFileSync(data, Array.from({ length: 5000 }, (_, i) => line(i)).join('\n'));
    const output = path.join(folder, 'never.json');
    const args = ['eval', 'caption', '--model', model, '--data', data, '--images', path.dirname(photo), '--output', output];
    const running = start([...args, '--batch-size', '1', '--threads', '1']);
    let err = '';
    running.child.stderr?.on('data', (chunk) => {
      err += chunk;
      // Once: a second signal would end it at once.
      if (!running.child.killed && /pictures: \d+ of 5000/.test(err)) running.child.kill('SIGINT');
    });
    const { code, out } = await running.ended;
    expect([code, out, err]).toEqual([130, '', expect.stringMatching(/\nblip2: ended by SIGINT\n$/)]);
    expect(fs.existsSync(output)).toBe(false);
  } finally {
    fs.rmSync(model, { recursive: true });
  }
}, 600_000);
