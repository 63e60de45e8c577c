import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
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
      ['--model <folder>', '--top-k <value>', '(128)', 'Examples:'],
    ],
    [['caption'], ['<picture...>', '--model <folder>', '--prompt <text>', '--num-beams <value>', 'Examples:']],
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
    [['caption', photo], /^blip2: required option '--model <folder>' not specified/],
    [['caption', '--model', 'x'], /^blip2: missing required argument 'picture'/],
  ])('%j', async (args, message) => {
    const { code, out, err } = await blip2(args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(message);
    expect(err).not.toMatch(/^ {4}at /m);
  });
});

describe('what fails ends with 1 and a message', () => {
  test.each<[string[], RegExp]>([
    [
      ['caption', photo, '--model', 'nowhere'],
      /^blip2: nowhere: expected a run of stage 1 or a folder of .*Blip2ForConditionalGeneration but there is none\n$/,
    ],
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

/** Waits until a process has a handler of its own for SIGINT: until then the signal would end it without a word. */
async function listens(pid: number): Promise<void> {
  const caught = (): bigint =>
    BigInt(`0x${/^SigCgt:\s*(\w+)$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0'}`);
  while ((caught() & 2n) === 0n) await sleep(20);
}

const onLinux = process.platform === 'linux' ? test : test.skip;

onLinux(
  'a signal ends a command as shells expect it',
  async () => {
    const model = generativeCheckpoint();
    try {
      const many = Array<string>(400).fill(photo);
      const running = start([
        'caption',
        ...many,
        '--model',
        model,
        '--max-new-tokens',
        '60',
        '--batch-size',
        '1',
        '--threads',
        '1',
      ]);
      await listens(running.child.pid as number);
      running.child.kill('SIGINT');
      const { code, out, err } = await running.ended;
      expect([code, out, err]).toEqual([130, '', 'blip2: ended by SIGINT\n']);
    } finally {
      fs.rmSync(model, { recursive: true });
    }
  },
  120_000,
);
