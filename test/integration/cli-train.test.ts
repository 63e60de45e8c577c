import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stage1Run } from '../../src/index.ts';
import { blip2, type Ended, type Running, start } from '../support/cli.ts';
import { makeTinyWorld, tinyFlags } from '../support/tiny-world.ts';

let world: string;
beforeAll(async () => {
  world = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-cli-'));
  await makeTinyWorld(world);
});
afterAll(() => fs.rmSync(world, { recursive: true }));

const at = (...names: string[]): string => path.join(world, ...names);
const captions = (): string[] => ['--data', at('captions.jsonl')];
const train = (run: string, ...more: string[]): string[] => ['train', 'stage1', '--out', at(run), ...tinyFlags(world), ...more];

/** Says what went wrong where something did. */
const ok = ({ code, err }: Ended): unknown => ({ code, err: code === 0 ? '' : err });
const OK = { code: 0, err: '' };

interface Line {
  readonly type: string;
  readonly step?: number;
  readonly losses?: Record<string, number>;
  readonly metrics?: Record<string, number>;
  readonly text?: string;
}

/** What a run logged. */
function logged(run: string): Line[] {
  const file = at(run, 'log.jsonl');
  const lines = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
  return lines.map((line) => JSON.parse(line) as Line);
}
const lossesOf = (run: string) => logged(run).flatMap(({ type, step, losses }) => (type === 'step' ? [[step, losses]] : []));

async function reached({ child }: Running, run: string, step: number): Promise<void> {
  while (lossesOf(run).length < step && child.exitCode === null) await sleep(2);
}

/** All of the last checkpoint, file by file. */
function last(run: string): Record<string, string> {
  const folder = at(run, 'checkpoints', fs.readdirSync(at(run, 'checkpoints')).sort().at(-1) as string);
  const read = (name: string): string => fs.readFileSync(path.join(folder, name)).toString('base64');
  return Object.fromEntries(fs.readdirSync(folder).map((name) => [name, read(name)]));
}

test.each<[string, string[]]>([
  ["Karpathy's split", ['karpathy.json']],
  ["COCO's own file", ['official.json']],
  ['tars', ['tars/shard-{0..2}.tar']],
  ['a folder', ['pictures']],
  ['a mixture', ['captions.jsonl,weight=3', 'tars,weight=1,name=squares']],
])('trains on %s', async (name, sources) => {
  const run = `on ${name}`;
  const ended = await blip2(train(run, '--steps', '2', '--json', '--data', ...sources.map((source) => at(source))));
  expect(ok(ended)).toEqual(OK);
  expect(JSON.parse(ended.out)).toEqual({
    reason: 'done',
    step: 2,
    samples: 12,
    checkpoint: at(run, 'checkpoints/step-00000002'),
    best: null,
  });
  expect(lossesOf(run).map(([step]) => step)).toEqual([1, 2]);
  expect(
    fs
      .readdirSync(at(run))
      .map((file) => file.replace(/^events.*/, 'events'))
      .sort(),
  ).toEqual(['checkpoints', 'events', 'log.jsonl', 'run.json', 'tokenizer']);
});

test('a run that is killed, or interrupted, goes on bit for bit, told nothing but its folder', async () => {
  const steps = 60;
  const flags = [...captions(), '--steps', String(steps), '--checkpoints.every', '10'];
  const whole = await blip2(train('whole', ...flags));
  expect(ok(whole)).toEqual(OK);
  expect(whole.err).toMatch(/^stage 1 on cpu: captions\.jsonl \(30 pairs\), 60 steps of 6 pairs\n\d+ parameters are trained;/);
  expect(whole.err).toMatch(
    /\n60\/60 \| loss [\d.]+ itc [\d.]+ itm [\d.]+ itg [\d.]+ \| lr .*left\ndone: 60 steps; .*step-00000060\n$/,
  );

  const killed = start(train('ended', ...flags));
  await reached(killed, 'ended', 13);
  killed.child.kill('SIGSTOP'); // not to be done before the other one has begun
  const log = fs.readFileSync(at('ended', 'log.jsonl'), 'utf8');
  const beside = await blip2(['train', 'stage1', '--out', at('ended'), '--resume']);
  expect(beside.code).toBe(1);
  expect(beside.err).toBe(
    `blip2: ${at('ended')}: process ${killed.child.pid} on ${os.hostname()} trains in it; end it first, or take another folder\n`,
  );
  expect(fs.readFileSync(at('ended', 'log.jsonl'), 'utf8')).toBe(log);
  killed.child.kill('SIGKILL');
  expect((await killed.ended).signal).toBe('SIGKILL');

  const interrupted = start(['train', 'stage1', '--out', at('ended'), '--resume', '--json']);
  await reached(interrupted, 'ended', 33);
  interrupted.child.kill('SIGINT');
  const { code, out, err } = await interrupted.ended;
  expect([code, err]).toEqual([130, expect.stringContaining('SIGINT: stopping after this step')]);
  const { reason, step, checkpoint } = JSON.parse(out) as { reason: string; step: number; checkpoint: string };
  expect(reason).toBe('SIGINT');
  expect(err).toContain(`stopped by SIGINT after step ${step}; saved in ${checkpoint}, from where it can go on`);

  const rest = await blip2(['train', 'stage1', '--out', at('ended'), '--resume']);
  expect(ok(rest)).toEqual(OK);
  expect(rest.err).toContain(`going on after step ${step}`);
  expect(last('ended')).toEqual(last('whole'));
  expect(lossesOf('ended')).toEqual(lossesOf('whole'));

  const told = fs.readFileSync(at('ended/run.json'), 'utf8');
  const again = await blip2(train('ended', ...flags));
  expect([again.code, again.err]).toEqual([
    2,
    `blip2: expected a folder without a run in it, or --resume for --out but received ${at('ended')}\n`,
  ]);
  const other = await blip2(['train', 'stage1', '--out', at('ended'), '--resume', '--schedule.peak', '1e-2']);
  expect([other.code, other.err]).toEqual([
    2,
    expect.stringContaining('expected 0.001, as the run began, for --schedule.peak but received 0.01\n'),
  ]);
  const elsewhere = await blip2(['train', 'stage1', '--out', at('ended'), '--resume', '--data', at('official.json')]);
  expect([elsewhere.code, elsewhere.err]).toEqual([
    1,
    expect.stringContaining('for state.dataset but received "captions.jsonl"\n'),
  ]);
  expect(fs.readFileSync(at('ended/run.json'), 'utf8')).toBe(told); // what was refused left nothing behind
}, 600_000);

test('SIGTERM ends a run likewise, and the evaluation that it is at', async () => {
  const run = start(
    train('terminated', ...captions(), '--steps', '100000', '--evaluation.data', at('pictures'), '--evaluation.every', '4'),
  );
  await reached(run, 'terminated', 9);
  run.child.kill('SIGTERM');
  const { code, err } = await run.ended;
  expect([code, err]).toEqual([143, expect.stringMatching(/stopped by SIGTERM after step \d+; saved in /)]);
});

test('evaluates retrieval meanwhile, and keeps the best', async () => {
  const evaluation = [
    '--evaluation.data',
    `${at('karpathy.json')},split=val+test`,
    '--evaluation.every',
    '2',
    '--evaluation.top-k',
    '3',
  ];
  const data = ['--data', at('karpathy.json')];
  const ended = await blip2(train('evaluated', ...data, ...evaluation, '--steps', '5', '--checkpoints.keep-last', '1', '--json'));
  expect(ok(ended)).toEqual(OK);
  const evaluations = logged('evaluated').filter(({ type }) => type === 'evaluation');
  expect(evaluations.map(({ step }) => step)).toEqual([2, 4, 5]);
  const scores = evaluations.map(({ metrics }) => metrics?.meanRecall as number);
  for (const score of scores) expect(score).toBeGreaterThan(0);
  const best = Math.max(...scores);
  expect(JSON.parse(ended.out).best).toEqual({ step: evaluations[scores.indexOf(best)]?.step, value: best });

  // The same figures again, from the checkpoint.
  const args = [
    'eval',
    'retrieval',
    '--model',
    at('evaluated'),
    '--data',
    `${at('karpathy.json')},split=val+test`,
    '--images',
    at('pictures'),
  ];
  const measured = await blip2([...args, '--top-k', '3', '--threads', '1', '--checkpoint', 'best', '--json']);
  expect(ok(measured)).toEqual(OK);
  const result = JSON.parse(measured.out) as { pictures: number; texts: number; metrics: Record<string, number> };
  expect([result.pictures, result.texts]).toEqual([6, 12]);
  expect(result.metrics).toEqual(evaluations[scores.indexOf(best)]?.metrics);

  const table = await blip2([...args, '--checkpoint', '5', '--top-k', '0']);
  expect(ok(table)).toEqual(OK);
  expect(table.out).toMatch(
    /^ +R@1 +R@5 +R@10\ntext by picture +[\d.]+ +[\d.]+ +[\d.]+\npicture by text +[\d.]+ +[\d.]+ +[\d.]+\n$/,
  );
  const missing = await blip2([...args, '--checkpoint', '3']);
  expect([missing.code, missing.err]).toEqual([
    2,
    expect.stringMatching(/^blip2: expected last, best or one of [\d, ]+ for --checkpoint but received 3\n$/),
  ]);
}, 600_000);

test('features of the frozen tower are computed once, and kept', async () => {
  const still = [...captions(), '--steps', '2', '--features', at('features'), '--image.crop', 'null', '--image.flip', '0'];
  const first = await blip2(train('cached', ...still));
  expect(ok(first)).toEqual(OK);
  const texts = logged('cached').flatMap(({ text }) => text ?? []);
  expect(texts).toEqual([expect.stringMatching(/^features of 15 pictures are in .*features-[0-9a-f]{16}$/)]);
  const cropped = await blip2(train('refused', ...captions(), '--steps', '2', '--features', at('features')));
  // At once: neither weights nor data have been looked at, and there is no folder of a run.
  expect([cropped.code, cropped.err]).toEqual([
    2,
    `blip2: expected null, or beside it image.crop null and image.flip 0 (--image.crop null --image.flip 0), as random crops and flips have other features every time, for --features but received ${at('features')}\n`,
  ]);
  expect(fs.existsSync(at('refused'))).toBe(false);
  await expect(
    stage1Run({ out: at('refused'), data: at('captions.jsonl'), vision: 'clip-vit-l', features: 'x' }),
  ).rejects.toThrow('for run.features but received');
});

test.each(['stage1', 'stage2'])('%s: where there is no run, there is none to resume', async (stage) => {
  const { code, err } = await blip2(['train', stage, '--out', at('nothing'), '--resume']);
  expect([code, err]).toEqual([
    2,
    `blip2: expected a folder with a run to resume (there is no run.json in it), or else all that a new run needs, for --out but received ${at('nothing')}\n`,
  ]);
  expect(fs.existsSync(at('nothing'))).toBe(false);
});

test('samples that cannot be used are named in the logs, and too many of them end the run', async () => {
  fs.cpSync(at('pictures'), at('broken'), { recursive: true });
  fs.writeFileSync(at('broken/red-green.png'), 'no picture');
  fs.writeFileSync(at('broken/red-blue.json'), '{}');
  const borne = await blip2(train('with-broken', '--data', at('broken'), '--steps', '6'));
  expect(ok(borne)).toEqual(OK);
  const texts = logged('with-broken').flatMap(({ text }) => text ?? []);
  expect(texts).toContainEqual(expect.stringMatching(/^left out red-green\.png#\d: .*red-green\.png/));
  expect(texts).toContainEqual(expect.stringMatching(/^left out red-blue\.png: /));
  for (const text of texts) expect(borne.err).toContain(text);
  const refused = await blip2(train('too-many', '--data', at('broken'), '--steps', '20', '--max-broken', '0'));
  expect([refused.code, refused.err]).toEqual([
    1,
    expect.stringMatching(/\nblip2: 1 of the first \d+ samples cannot be used\. The last of them:\n {2}red-/),
  ]);
});

test('settings may come from a file, and what would be run can be looked at', async () => {
  const file = at('settings.json');
  const settings = {
    data: [{ path: at('captions.jsonl'), weight: 2 }],
    steps: 7,
    schedule: { warmupSteps: 1 },
    seed: 4,
    out: at('x'),
  };
  fs.writeFileSync(file, JSON.stringify(settings));
  const shown = await blip2(['train', 'stage1', '--config', file, '--seed', '5', '--vision', 'clip-vit-l', '--show-recipe']);
  expect(ok(shown)).toEqual(OK);
  expect(JSON.parse(shown.out)).toMatchObject({
    data: [{ path: at('captions.jsonl'), weight: 2 }],
    steps: 7,
    seed: 5,
    batchSize: 2320,
    schedule: { start: 1e-6, warmupSteps: 1 },
    vision: { architecture: 'clip' },
  });
  fs.writeFileSync(file, JSON.stringify({ ...settings, bachSize: 3 }));
  const odd = await blip2(['train', 'stage1', '--config', file, '--show-recipe']);
  expect([odd.code, odd.err]).toEqual([
    2,
    expect.stringMatching(/^blip2: expected settings out of out, data, .*batchSize.* but received bachSize\n$/),
  ]);
});

test('numbers that are not finite end a run with one line', async () => {
  const flags = ['--steps', '12', '--schedule.peak', '1e30', '--schedule.start', '1e30', '--schedule.warmup-steps', '1'];
  const { code, err } = await blip2(train('infinite', ...captions(), ...flags));
  expect(code).toBe(1);
  expect(err.match(/gave numbers that are infinite or NaN/g)).toHaveLength(1);
  expect(logged('infinite').at(-1)?.text).toMatch(
    /^step \d+ gave numbers that are infinite or NaN: the first is .*There is no checkpoint yet$/,
  );
});
