import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type BrokenSample, ImageError, type Question, type QuestionFormat, type QuestionSet } from '../../src/data/index.ts';
import type { AnswerOptions, EncodedImage, ImageInput, RankedAnswer, RankOptions } from '../../src/pipeline/index.ts';
import { evaluateVqa, type VqaModel, type VqaTaskOptions } from '../../src/tasks/index.ts';

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tasks-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

/** Answers each question with the word after "say", and counts what it encodes, holds and is asked. */
class Echo implements VqaModel {
  readonly encoded: string[] = [];
  readonly asked: string[] = [];
  readonly options: object[] = [];
  held = 0;
  mostHeld = 0;

  async encode(images: readonly ImageInput[]): Promise<EncodedImage[]> {
    const broken = images.map(String).find((image) => image.startsWith('broken'));
    if (broken !== undefined) throw new ImageError(broken, 'cannot be decoded');
    this.encoded.push(...images.map(String));
    this.held += images.length;
    this.mostHeld = Math.max(this.held, this.mostHeld);
    return images.map((image) => ({ image, dispose: () => this.held-- }) as unknown as EncodedImage);
  }

  async answer(images: readonly ImageInput[], questions: readonly string[], options?: AnswerOptions): Promise<string[]> {
    options?.signal?.throwIfAborted();
    this.options.push(options ?? {});
    this.asked.push(...questions.map((question, i) => `${(images[i] as unknown as { image: string }).image}: ${question}`));
    return questions.map((question) => /say (\S+)/.exec(question)?.[1] ?? '');
  }

  async rank(
    _: readonly ImageInput[],
    questions: readonly string[],
    answers: readonly string[],
    options?: RankOptions,
  ): Promise<RankedAnswer[][]> {
    this.options.push(options ?? {});
    return questions.map((question) =>
      [...answers]
        .sort((a, b) => Number(question.includes(b)) - Number(question.includes(a)))
        .map((answer, i) => ({ answer, logLikelihood: -i, probability: 0.5 / (i + 1) })),
    );
  }
}

const question = (
  id: number | string,
  image: string,
  text: string,
  answers?: readonly string[],
  types: Partial<Question> = {},
) => ({
  questionId: id,
  question: text,
  image,
  imageId: image,
  answers,
  ...types,
});
const ten = (answer: string, count: number): string[] =>
  Array.from({ length: 10 }, (_, i) => (i < count ? answer : `other ${i}`));
const setOf = (format: QuestionFormat, questions: readonly Question[]): QuestionSet => ({ name: 'set', format, questions });

const vqa = setOf('vqa', [
  question(1, 'a.jpg', 'Say dogs!', ten('dogs', 10), { answerType: 'other', questionType: 'what' }),
  question(2, 'b.jpg', 'say two', ten('2', 2), { answerType: 'number', questionType: 'how many' }),
  question(3, 'a.jpg', 'say yes', ten('no', 10), { answerType: 'yes/no', questionType: 'is' }),
  question(4, 'c.jpg', 'say cat', ten('cat', 3), { answerType: 'other', questionType: 'what' }),
]);

test('VQA: every picture is encoded once, and answers are scored and written as the official tool has them', async () => {
  const model = new Echo();
  const output = path.join(folder, 'vqa.json');
  const progress: number[] = [];
  const { answers, metrics } = await evaluateVqa(model, vqa, {
    batchSize: 2,
    output,
    numBeams: 5,
    onProgress: ({ done }) => progress.push(done),
  });
  // Questions are prepared as by LAVIS, and those of one picture come together.
  expect(model.asked).toEqual(['a.jpg: say dogs', 'a.jpg: say yes', 'b.jpg: say two', 'c.jpg: say cat']);
  expect(model.encoded).toEqual(['a.jpg', 'b.jpg', 'c.jpg']);
  expect([model.held, model.mostHeld]).toEqual([0, 2]);
  expect(model.options[0]).toEqual({ numBeams: 5, batchSize: 2 });
  expect(progress).toEqual([2, 4]);
  expect(answers).toEqual([
    { questionId: 1, answer: 'dogs' },
    { questionId: 2, answer: 'two' },
    { questionId: 3, answer: 'yes' },
    { questionId: 4, answer: 'cat' },
  ]);
  expect(JSON.parse(fs.readFileSync(output, 'utf8'))).toEqual(
    answers.map(({ questionId, answer }) => ({ question_id: questionId, answer })),
  );
  expect(metrics).toEqual({
    accuracy: 62.5, // 100, 60, 0 and 90
    byAnswerType: { other: 95, number: 60, 'yes/no': 0 },
    byQuestionType: { what: 95, 'how many': 60, is: 0 },
  });
});

test('a picture that cannot be used is left out with its questions, and named, where that is borne', async () => {
  const ofBroken = [1, 2].flatMap((i) =>
    ['say no', 'say never'].map((text, j) => question(`${i}${j}`, `broken${i}.jpg`, text, ten('x', 9), { answerType: 'other' })),
  );
  const set = setOf('vqa', [...ofBroken.slice(0, 2), ...vqa.questions, ...ofBroken.slice(2)]);
  for (const batchSize of [1, 3, 8]) {
    const model = new Echo();
    const [left, output, progress]: [BrokenSample[], string, number[]] = [[], path.join(folder, 'left.json'), []];
    const { answers, metrics } = await evaluateVqa(model, set, {
      batchSize,
      output,
      onBroken: (picture) => left.push(picture),
      onProgress: ({ done }) => progress.push(done),
    });
    expect(left).toEqual([1, 2].map((i) => ({ key: `broken${i}.jpg`, problem: `broken${i}.jpg: cannot be decoded` })));
    expect(answers.map(({ questionId }) => questionId)).toEqual([1, 2, 3, 4]);
    expect(metrics).toMatchObject({ accuracy: 62.5, byAnswerType: { other: 95 } });
    expect(JSON.parse(fs.readFileSync(output, 'utf8'))).toHaveLength(4);
    expect([model.encoded, model.held, progress.at(-1)]).toEqual([['a.jpg', 'b.jpg', 'c.jpg'], 0, 8]);
  }
  const none = setOf('vqa', ofBroken);
  expect(await evaluateVqa(new Echo(), none, { onBroken: () => {} })).toEqual({ answers: [], metrics: null });
  await expect(evaluateVqa(new Echo(), set)).rejects.toThrow(ImageError);
  await expect(evaluateVqa(new Echo(), set, { onBroken: () => {}, maxBroken: 0.001 })).rejects.toThrow(
    /2 of the first \d samples cannot be used.*broken2\.jpg: cannot be decoded/s,
  );
  await expect(evaluateVqa(new Echo(), set, { onBroken: () => {}, maxBroken: 2 })).rejects.toMatchObject({
    argument: 'maxBroken',
  });
});

test('a question of which the clean-up leaves nothing is asked as LAVIS does', async () => {
  const model = new Echo();
  const set = setOf('vqa', [question(1, 'a.jpg', '!!!'), question(2, 'a.jpg', 'say yes')]);
  expect((await evaluateVqa(model, set)).answers.map(({ answer }) => answer)).toEqual(['', 'yes']);
  expect(model.asked).toEqual(['a.jpg: ', 'a.jpg: say yes']);
  expect(model.options[0]).toEqual({ batchSize: 8, allowBlank: true });
  await evaluateVqa(model, set, { answers: ['yes'] });
  expect(model.options[1]).toEqual({ batchSize: 8, allowBlank: true });
});

test('answers may be chosen from a list, made into base forms, and questions left as they are', async () => {
  const model = new Echo();
  const ranked = await evaluateVqa(model, vqa, { answers: ['cat', 'yes', 'two'], template: 'Q: {} A:' });
  expect(ranked.answers[3]).toEqual({ questionId: 4, answer: 'cat', probability: 0.5 });
  expect(model.options[0]).toEqual({ template: 'Q: {} A:', batchSize: 8 });

  const lemmatize = (answer: string): string => answer.replace(/s$/, '');
  const set = setOf('vqa', [question(1, 'a.jpg', 'say dogs', ten('dog', 9))]);
  expect((await evaluateVqa(new Echo(), set)).metrics?.accuracy).toBe(0);
  expect(await evaluateVqa(new Echo(), set, { lemmatize })).toMatchObject({
    answers: [{ answer: 'dog' }],
    metrics: { accuracy: 100 },
  });

  const raw = new Echo();
  await evaluateVqa(raw, vqa, { prepareQuestion: (text) => text });
  expect(raw.asked[0]).toBe('a.jpg: Say dogs!');
});

test('results that could not be written are refused before anything is asked', async () => {
  for (const [output, problem] of [
    [path.join(folder, 'no/where.json'), /where\.json: cannot be written: ENOENT/],
    [folder, /expected a file but it is a folder/],
  ] as const) {
    const model = new Echo();
    await expect(evaluateVqa(model, vqa, { output })).rejects.toThrow(problem);
    expect(model.encoded).toEqual([]);
  }
});

test('GQA and A-OKVQA have rules and files of their own', async () => {
  const output = path.join(folder, 'gqa.json');
  const gqa = setOf('gqa', [question('g1', 'a.jpg', 'say the', ['x']), question('g2', 'a.jpg', 'say T-shirt', ['t-shirt'])]);
  expect((await evaluateVqa(new Echo(), gqa, { output })).metrics).toEqual({
    accuracy: 50,
    byAnswerType: {},
    byQuestionType: {},
  });
  expect(JSON.parse(fs.readFileSync(output, 'utf8'))).toEqual([
    { questionId: 'g1', prediction: 'the' },
    { questionId: 'g2', prediction: 't-shirt' },
  ]);
  const aokvqa = setOf('aokvqa', [question('k', 'a.jpg', 'say cat', ten('cat', 2))]);
  expect((await evaluateVqa(new Echo(), aokvqa, { output })).metrics?.accuracy).toBe(66.67);
  expect(JSON.parse(fs.readFileSync(output, 'utf8'))).toEqual({ k: { direct_answer: 'cat', multiple_choice: '' } });
});

test('questions without answers are answered but not scored', async () => {
  const { answers, metrics } = await evaluateVqa(new Echo(), setOf('vqa', [question(7, 'a.jpg', 'say hi')]));
  expect({ answers, metrics }).toEqual({ answers: [{ questionId: 7, answer: 'hi' }], metrics: null });
});

test('what cannot be evaluated is named, and pictures are let go in any case', async () => {
  const model = new Echo();
  const refused = (set: QuestionSet, options?: object): Promise<unknown> =>
    evaluateVqa(model, set, options as VqaTaskOptions).catch((error: unknown) => error);
  expect(await refused(setOf('vqa', []))).toMatchObject({ name: 'ArgumentError', argument: 'set' });
  const some = setOf('vqa', [question(1, 'a', 'q', ['x']), question(2, 'a', 'q')]);
  expect(await refused(some)).toMatchObject({ name: 'ArgumentError', argument: 'answers' });
  for (const argument of ['lemmatize', 'prepareQuestion', 'batchSize', 'output']) {
    expect(await refused(vqa, { [argument]: [] })).toMatchObject({ name: 'ArgumentError', argument });
  }
  expect(model.asked).toEqual([]);
  const stop = new AbortController();
  const call = evaluateVqa(model, vqa, {
    batchSize: 1,
    signal: stop.signal,
    onProgress: () => stop.abort(new Error('enough')),
  });
  await expect(call).rejects.toThrow('enough');
  expect(model.held).toBe(0);
});
