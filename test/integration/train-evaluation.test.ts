import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  Blip2,
  Blip2ForPretraining,
  building,
  ClipVisionModel,
  captionEvaluation,
  combinedEvaluation,
  exportRun,
  FrozenEncoder,
  Generator,
  loadLanguageModel,
  memory,
  newStage2Model,
  openStage1,
  parsePretrainingConfig,
  randn,
  type Stage1Settings,
  type Stage2Settings,
  setThreads,
  stage1Run,
  stage2,
  stage2Run,
  stage2Writer,
  Tokenizer,
  type TrainingEvaluation,
  vqaEvaluation,
} from '../../src/index.ts';
import { makeLanguageModel, makeTinyWorld, tinyStage1Settings, writeQuestions } from '../support/tiny-world.ts';

// While a stage is trained, its model writes captions of pictures that it does not learn from, and answers.

setThreads(1);

const world = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-during-'));
const at = (...names: string[]): string => path.join(world, ...names);
beforeAll(async () => {
  await makeTinyWorld(world);
  makeLanguageModel(world);
});
afterAll(() => fs.rmSync(world, { recursive: true }));

/** Tensors that are alive once the garbage is gone. */
async function alive(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    gc?.();
    await sleep(10);
  }
  return memory().tensors;
}

const held = { data: `${at('karpathy.json')},split=val+test`, every: 2, batchSize: 4 };

const stage1Settings = (out: string, more: Partial<Stage1Settings> = {}): Stage1Settings => ({
  ...tinyStage1Settings(world),
  out: at(out),
  // As Hugging Face's model has it, so that what is exported is the same.
  model: { numQueryTokens: 4, imageTextHiddenSize: 8, visionLayerNormEps: 1e-6 },
  schedule: { warmupSteps: 1, peak: 1e-2 },
  steps: 4,
  ...more,
});

const stage2Settings = (out: string, more: Partial<Stage2Settings> = {}): Stage2Settings => ({
  out: at(out),
  from: at('first'),
  data: at('captions.jsonl'),
  images: at('pictures'),
  languageModel: at('opt'),
  languageModelDtype: 'float32',
  precision: 'float32',
  threads: 1,
  workers: 0,
  batchSize: 6,
  schedule: { warmupSteps: 1, peak: 1e-2 },
  steps: 4,
  ...more,
});

interface Written {
  readonly key: string;
  readonly caption: string;
  readonly references: readonly string[];
}

const json = (...names: string[]): unknown => JSON.parse(fs.readFileSync(at(...names), 'utf8'));

function evaluations(run: string): { step: number; metrics: Record<string, number> }[] {
  const lines = fs.readFileSync(at(run, 'log.jsonl'), 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line)).filter(({ type }) => type === 'evaluation');
}

const weightsOf = (run: string): Buffer => fs.readFileSync(at(run, 'checkpoints/step-00000004/model.safetensors'));
const CAPTIONS = ['bleu1', 'bleu2', 'bleu3', 'bleu4', 'rougeL', 'ciderD'];

test('stage 1 captions held-out pictures, as its checkpoints do afterwards, and trains as it would without', async () => {
  await (await stage1Run(stage1Settings('plain'))).run();
  const before = await alive();
  const run = await stage1Run(stage1Settings('first', { evaluation: { ...held, images: null, topK: 2, captions: 5 } }));
  const { best } = await run.run();
  run.model.dispose();
  expect(await alive()).toBe(before);
  expect(weightsOf('first').equals(weightsOf('plain'))).toBe(true);
  const found = evaluations('first');
  expect(found.map(({ step }) => step)).toEqual([2, 4]);
  for (const { metrics } of found) expect(Object.keys(metrics)).toEqual(expect.arrayContaining(['meanRecall', ...CAPTIONS]));
  expect(best?.value).toBe(Math.max(...found.map(({ metrics }) => metrics.meanRecall as number)));
  expect(fs.readdirSync(at('first/evaluation'))).toEqual(['captions-00000002.json', 'captions-00000004.json']);
  const written = json('first/evaluation/captions-00000004.json') as Written[];
  expect(written).toHaveLength(5);
  for (const { references } of written) expect(references).toHaveLength(2);
  const trained = openStage1(at('first'));
  const captions = await trained.caption(written.map(({ key }) => at('pictures', key)));
  expect(written.map(({ caption }) => caption)).toEqual(captions);
  trained.dispose();
});

test('stage 2 captions them and answers questions, as the exported model does', async () => {
  writeQuestions(at('questions.json'), at('annotations.json'), [
    { question_id: 1, image_id: 5, question: 'What is it?' },
    { question_id: 2, image_id: 5, question: 'Is it red?' },
    { question_id: 3, image_id: 6, question: 'Why?' },
  ]);
  fs.copyFileSync(at('pictures/red-blue.png'), at('pictures/COCO_val2014_000000000005.jpg'));
  const asked = { questions: at('questions.json'), annotations: at('annotations.json'), questionCount: 2 };
  await (await stage2Run(stage2Settings('plain2'))).run();
  const before = await alive();
  const run = await stage2Run(stage2Settings('second', { evaluation: { ...held, captions: 3, ...asked } }));
  await run.run();
  run.model.dispose();
  expect(await alive()).toBe(before);
  expect(weightsOf('second').equals(weightsOf('plain2'))).toBe(true);
  const found = evaluations('second');
  expect(found.map(({ step }) => step)).toEqual([2, 4]);
  for (const { metrics } of found) {
    expect(Object.keys(metrics)).toEqual(
      ['lm', 'lmAccuracy', 'tokens', ...CAPTIONS, 'vqaAccuracy', 'vqaAccuracy/other'].sort(byPlace(metrics)),
    );
  }
  exportRun(at('second'), at('whole'));
  const blip2 = await Blip2.fromPretrained(at('whole'), { threads: 1 });
  const written = json('second/evaluation/captions-00000004.json') as Written[];
  expect(written).toHaveLength(3);
  // So small a language model has not room for 30 tokens.
  const room = blip2.promptRoom(1) + 1 - (await blip2.countTokens('a photo of'));
  const lengths = { minNewTokens: 8, maxNewTokens: Math.min(30, room) };
  const pictures = written.map(({ key }) => at('pictures', key));
  const captions = await blip2.caption(pictures, { prompt: 'a photo of', numBeams: 5, ...lengths });
  expect(written.map(({ caption }) => caption)).toEqual(captions);
  const given = json('second/evaluation/answers-00000004.json') as { question: string; answer: string; people: string[] }[];
  expect(given.map(({ question, people }) => [question, people.length])).toEqual([
    ['What is it?', 10],
    ['Is it red?', 10],
  ]);
  const picture = at('pictures/COCO_val2014_000000000005.jpg');
  expect(given.map(({ answer }) => answer)).toEqual(await blip2.answer([picture, picture], ['what is it?', 'is it red?']));
  await blip2.close();
});

/** The order of an object's own names. */
const byPlace = (of: object) => (a: string, b: string) => Object.keys(of).indexOf(a) - Object.keys(of).indexOf(b);

test('questions alone are an evaluation, too, and choose the best', async () => {
  const evaluation = { questions: at('questions.json'), annotations: at('annotations.json'), questionCount: 1, every: 4 };
  const { best } = await (await stage2Run(stage2Settings('asked', { evaluation }))).run();
  expect(best).toEqual({ step: 4, value: evaluations('asked')[0]?.metrics.vqaAccuracy });
});

test('pictures that cannot be decoded are left out of evaluations and named, and questions of nothing but signs are asked', async () => {
  const asked = (question_id: number, image_id: number, question: string) => ({ question_id, image_id, question });
  const questions = [asked(1, 5, '!!!'), asked(2, 7, 'What?'), asked(3, 5, 'Why?')];
  writeQuestions(at('some.json'), at('their-answers.json'), questions);
  fs.writeFileSync(at('pictures/COCO_val2014_000000000007.jpg'), Buffer.from([0xff, 0xd8, 0xff, 0xe0]));
  fs.writeFileSync(at('pictures/cut.png'), fs.readFileSync(at('pictures/red-blue.png')).subarray(0, 40));
  const lines = ['cut.png', 'red-blue.png'].map((image) => JSON.stringify({ image, caption: 'a square' }));
  fs.writeFileSync(at('held.jsonl'), lines.join('\n'));
  const evaluation = { data: at('held.jsonl'), every: 4, batchSize: 4, captions: 5 };
  const vqa = { questions: at('some.json'), annotations: at('their-answers.json') };
  const done = await (await stage2Run(stage2Settings('borne', { evaluation: { ...evaluation, ...vqa } }))).run();
  expect([done.reason, done.step]).toEqual(['done', 4]);
  const log = fs.readFileSync(at('borne/log.jsonl'), 'utf8').trim().split('\n');
  const messages = log.flatMap((line) => JSON.parse(line).text ?? []);
  for (const name of [
    /^left out .*pictures\/cut\.png: cannot be decoded/,
    /^left out 7: .*000000000007\.jpg: cannot be decoded/,
  ]) {
    expect(messages).toContainEqual(expect.stringMatching(name));
  }
  expect(json('borne/evaluation/captions-00000004.json')).toHaveLength(1);
  const given = json('borne/evaluation/answers-00000004.json') as { questionId: number; question: string }[];
  expect(given.map(({ questionId, question }) => [questionId, question])).toEqual([
    [1, '!!!'],
    [3, 'Why?'],
  ]);
  expect(evaluations('borne')[0]?.metrics.vqaAccuracy).toEqual(expect.any(Number));
  await expect(
    stage2Run(stage2Settings('borne2', { evaluation: { ...vqa, every: 4 }, maxBroken: 0 })).then((run) => run.run()),
  ).rejects.toMatchObject({ code: 'ERR_BROKEN_SAMPLES' });
  // The first stage's: retrieval and captions.
  await (await stage1Run(stage1Settings('borne1', { evaluation: { ...evaluation, topK: 2 } }))).run();
  expect(fs.readFileSync(at('borne1/log.jsonl'), 'utf8')).toMatch(/left out line 1: cut\.png/);
  expect(evaluations('borne1')).toHaveLength(1);
});

test('a run ends at its first evaluation where no picture of it can be used', async () => {
  fs.mkdirSync(at('elsewhere'));
  const lost = { ...held, images: at('elsewhere') };
  const asked = { questions: at('questions.json'), annotations: at('annotations.json'), images: at('elsewhere'), every: 2 };
  const none = async (run: Promise<{ run(): Promise<unknown> }>): Promise<unknown> => {
    const error: unknown = await run.then((ready) => ready.run()).catch((reason: unknown) => reason);
    const { step } = JSON.parse(logOf(1)) as { step?: number };
    return Object.assign(error as object, { step });
  };
  const logOf = (from: number): string =>
    fs
      .readFileSync(at('lost/log.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .filter((line) => line.includes('"step"'))
      .at(-from) as string;
  const questions = await none(stage2Run(stage2Settings('lost', { evaluation: asked })));
  expect(questions).toMatchObject({ code: 'ERR_BROKEN_SAMPLES', step: 2 });
  expect((questions as Error).message).toMatch(/^2 of the first 2 samples cannot be used.*\n {2}5: .*COCO_val2014_000000000005/);
  const unusable = { argument: 'gallery', expected: 'at least one picture that can be used' };
  for (const captions of [0, 2]) {
    fs.rmSync(at('lost'), { recursive: true });
    expect(await none(stage2Run(stage2Settings('lost', { evaluation: { ...lost, captions } })))).toMatchObject(unusable);
  }
  fs.rmSync(at('lost'), { recursive: true });
  const retrieval = await none(stage1Run(stage1Settings('lost', { evaluation: { ...lost, topK: 2 } })));
  expect(retrieval).toMatchObject({ argument: 'gallery', received: 'none', step: 2 });
});

test('where the device is slow in bfloat16 a run is in float32 and says so, and goes on as it began', async () => {
  const { languageModelDtype: _, precision: __, ...told } = stage2Settings('slow', { steps: 2 });
  await (await stage2Run(told, { fastBfloat16: false })).run();
  const remark = 'visionDtype, languageModelDtype, precision: float32, as this cpu is not fast in bfloat16';
  const said = (): number => fs.readFileSync(at('slow/log.jsonl'), 'utf8').split(remark).length - 1;
  expect(said()).toBe(1);
  const formats = { visionDtype: 'float32', languageModelDtype: 'float32', precision: 'float32' };
  expect(json('slow/run.json')).toMatchObject(formats);
  const { recipe } = await stage2Run({ ...told, steps: 2 }, { resume: true, fastBfloat16: true }).then(async (run) => {
    await run.run();
    return run;
  });
  expect(recipe).toMatchObject(formats);
  expect(said()).toBe(1);
});

test('questions without known answers are asked, and choose nothing', async () => {
  const evaluation = { questions: at('questions.json'), questionCount: 1, every: 4 };
  const { best } = await (await stage2Run(stage2Settings('open', { evaluation }))).run();
  expect(best).toBeNull();
  expect(json('open/evaluation/answers-00000004.json')).toMatchObject([{ question: 'What is it?', people: [] }]);
});

test.each<[string, Promise<unknown> | (() => Promise<unknown>)]>([
  ['run.evaluation.captions', () => stage1Run(stage1Settings('no', { evaluation: { captions: 3 } }))],
  ['run.evaluation.captions', () => stage1Run(stage1Settings('no', { evaluation: { ...held, captions: -1 } }))],
  ['run.evaluation.questions', () => stage1Run(stage1Settings('no', { evaluation: { questions: at('questions.json') } }))],
  ['run.evaluation.annotations', () => stage2Run(stage2Settings('no', { evaluation: { annotations: at('annotations.json') } }))],
])('%s is refused where it has nothing to go with', async (argument, call) => {
  await expect(call).rejects.toMatchObject({ argument });
  expect(fs.existsSync(at('no'))).toBe(false);
});

test('any tower will do while the second stage is trained', async () => {
  const shape = { hiddenSize: 16, intermediateSize: 32, numHiddenLayers: 2, numAttentionHeads: 2, imageSize: 16, patchSize: 8 };
  const recipe = stage2({
    vision: { architecture: 'clip', config: shape },
    languageModel: at('opt'),
    languageModelDtype: 'bfloat16',
    model: {
      numQueryTokens: 4,
      qformerConfig: { hiddenSize: 16, intermediateSize: 32, numHiddenLayers: 2, numAttentionHeads: 2 },
    },
  });
  if (recipe.vision.architecture !== 'clip') throw new Error('expected CLIP');
  const { config } = recipe.vision;
  const encoder = new FrozenEncoder(
    building({ generator: new Generator(2) }, () => new ClipVisionModel(config)),
    'bfloat16',
  );
  const languageModel = loadLanguageModel(at('opt'), { dtype: 'bfloat16' }).freeze().eval();
  const model = newStage2Model(recipe).eval();
  const tokenizer = Tokenizer.fromPretrained(at('opt'));
  const before = await alive();
  const writer = stage2Writer(recipe, { model, languageModel, tokenizer, encoder });
  const [answer] = await writer.model.answer([at('pictures/red-blue.png')], ['what is it?'], { maxNewTokens: 3 });
  expect(typeof answer).toBe('string');
  const evaluation = captionEvaluation(writer.captions({ minNewTokens: 0, maxNewTokens: 2 }), {
    every: 1,
    pictures: 3,
    gallery: function* () {
      for (let i = 0; i < 3; i++) {
        const imageFeatures = randn([2, 5, 16], { generator: new Generator(i) });
        yield { imageFeatures, allCaptions: [['a square'], []], dispose: () => imageFeatures.dispose() };
      }
    },
  });
  expect(Object.keys(await evaluation.run(1, new AbortController().signal))).toEqual(CAPTIONS);
  await expect(evaluation.run(1, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
  const none = captionEvaluation(writer.captions(), { every: 1, gallery: () => [] });
  await expect(none.run(1, new AbortController().signal)).rejects.toMatchObject({ argument: 'gallery', received: 'none' });
  await writer.dispose();
  await writer.dispose();
  expect(await alive()).toBe(before);
  await expect(writer.model.answer(at('pictures/red-blue.png'), 'what?')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
});

test('several evaluations are one, where they come at the same steps', async () => {
  const of = (name: string, every: number, best = false): TrainingEvaluation => ({
    every,
    run: async (step) => ({ [name]: step }),
    ...(best ? { best: { metric: name, better: 'lower' } } : {}),
  });
  const both = combinedEvaluation([of('a', 3), of('b', 3, true), of('c', 3, true)]);
  expect([both.every, both.best]).toEqual([3, { metric: 'b', better: 'lower' }]);
  expect(await both.run(6, new AbortController().signal)).toEqual({ a: 6, b: 6, c: 6 });
  expect(() => combinedEvaluation([])).toThrow('expected at least one for evaluations');
  expect(() => combinedEvaluation([of('a', 3), of('b', 4)])).toThrow(
    'expected all every 3 steps for evaluations but received one every 4',
  );
  expect(() => captionEvaluation(async () => [], { every: 1, gallery: () => [], pictures: 0 })).toThrow(
    'for pictures but received 0',
  );
  const none = { every: 1, questions: { format: 'vqa', questions: [] } as never, count: 1.5 };
  expect(() => vqaEvaluation({ answer: 0, encode: 0 } as never, none)).toThrow('for count but received 1.5');
});

test.each([3, 12, 20, 64])('a first stage with %i positions writes no more than it has room for', async (positions) => {
  const qformer = {
    hidden_size: 16,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 16,
    encoder_hidden_size: 8,
  };
  const config = parsePretrainingConfig({
    qformer_config: { ...qformer, vocab_size: 40, max_position_embeddings: positions },
    num_query_tokens: 4,
    image_text_hidden_size: 8,
  });
  const model = building({ generator: new Generator(1) }, () => new Blip2ForPretraining(config)).eval();
  for (const options of [{}, { doSample: true, seed: 1 }, { numBeams: 1 }]) {
    const { sequences } = await model.generate({ imageFeatures: randn([2, 5, 8]) }, { ...options, eosTokenId: 39 });
    expect(sequences.size(1)).toBeLessThanOrEqual(Math.min(30, positions));
    expect(sequences.size(1)).toBeGreaterThanOrEqual(Math.min(10, positions));
  }
});
