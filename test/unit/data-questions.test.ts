import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { openQuestions, type QuestionOptions } from '../../src/data/index.ts';
import { ArgumentError, FileError } from '../../src/native/errors.ts';

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'questions-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

const write = (name: string, content: string | object): string => {
  const file = path.join(folder, name);
  fs.writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
};

const ask = (question_id: number, image_id: number | string, question: string) => ({ question_id, image_id, question });
const answered = (question_id: number, answers: readonly string[], more: object = {}) => ({
  question_id,
  answers: answers.map((answer, i) => ({ answer, answer_confidence: 'yes', answer_id: i + 1 })),
  ...more,
});
const vqa = {
  info: {},
  data_type: 'mscoco',
  data_subtype: 'val2014',
  questions: [ask(262148000, 262148, 'Where is he looking?'), ask(262148001, 262148, 'What is it?')],
};
const annotations = {
  annotations: [
    answered(262148001, ['cat', 'a cat'], { question_type: 'what is', answer_type: 'other' }),
    answered(7, ['not asked']),
    answered(262148000, ['down', 'down']),
  ],
};

test('VQAv2 and OK-VQA: questions, and answers from the file of annotations', () => {
  const file = write('vqa.json', vqa);
  const image = path.join(folder, 'COCO_val2014_000000262148.jpg');
  const first = { questionId: 262148000, question: 'Where is he looking?', image, imageId: 262148 };
  expect(openQuestions(file)).toMatchObject({ name: 'vqa.json', format: 'vqa', questions: [first, { questionId: 262148001 }] });
  expect(openQuestions(file).questions[0]?.answers).toBeUndefined();
  const { questions } = openQuestions(file, { annotations: write('annotations.json', annotations), images: '/pictures' });
  expect(questions).toEqual([
    { ...first, image: '/pictures/COCO_val2014_000000262148.jpg', answers: ['down', 'down'] },
    {
      questionId: 262148001,
      question: 'What is it?',
      image: '/pictures/COCO_val2014_000000262148.jpg',
      imageId: 262148,
      answers: ['cat', 'a cat'],
      questionType: 'what is',
      answerType: 'other',
    },
  ]);
});

test('pictures of test-dev are named as test’s, and names can be told', () => {
  const file = write('dev.json', { ...vqa, data_subtype: 'test-dev2015' });
  expect(openQuestions(file, { images: 'x' }).questions[0]?.image).toBe(path.join('x', 'COCO_test2015_000000262148.jpg'));
  expect(openQuestions(file, { images: 'x', imageName: '{}.png' }).questions[0]?.image).toBe(path.join('x', '000000262148.png'));
});

test('GQA: an object of questions by their ids, each with one answer or none', () => {
  const file = write('gqa.json', {
    '201307251': { imageId: '2405722', question: 'Is it tall?', answer: 'no', isBalanced: true },
    '0a': { imageId: 'n161', question: 'Who?' },
  });
  expect(openQuestions(file, { images: 'x' })).toEqual({
    name: 'gqa.json',
    format: 'gqa',
    questions: [
      {
        questionId: '201307251',
        question: 'Is it tall?',
        image: path.join('x', '2405722.jpg'),
        imageId: '2405722',
        answers: ['no'],
      },
      { questionId: '0a', question: 'Who?', image: path.join('x', 'n161.jpg'), imageId: 'n161', answers: undefined },
    ],
  });
});

test('A-OKVQA: a list of questions with direct answers', () => {
  const item = { question_id: '22Mb', image_id: 299207, question: 'Why?', choices: ['a', 'b'], direct_answers: ['b', 'b', 'c'] };
  const { format, questions } = openQuestions(write('aokvqa.json', [item]), { images: 'x' });
  expect(format).toBe('aokvqa');
  expect(questions).toMatchObject([{ questionId: '22Mb', image: path.join('x', '000000299207.jpg'), answers: ['b', 'b', 'c'] }]);
});

const one = (change: object) => ({ ...vqa, questions: [{ ...ask(1, 2, 'q'), ...change }] });
const gqa = (change: object) => ({ id1: { imageId: '3', question: 'q', answer: 'a', ...change } });

test.each<[string, string | object, QuestionOptions, string]>([
  ['no JSON', '{', {}, 'expected JSON'],
  ['nothing', {}, {}, 'there are none'],
  ['a number', '5', {}, 'expected an object'],
  ['questions of another kind', { questions: 5 }, { format: 'vqa' }, 'questions: expected a list'],
  ['a question that is no object', { ...vqa, questions: [7] }, {}, 'questions[0]: expected an object but received 7'],
  ['a missing id', one({ question_id: null }), {}, 'questions[0].question_id'],
  ['an id of another kind', one({ question_id: -1.5 }), {}, 'questions[0].question_id'],
  ['a question that is no text', one({ question: ['q'] }), {}, 'questions[0].question: expected a string'],
  ['a blank question', one({ question: ' ' }), {}, 'questions[0].question: expected a question that is not blank'],
  ['a picture outside', one({ image_id: '../../../etc/passwd' }), {}, 'questions[0].image_id'],
  ['a folder outside', { ...vqa, data_subtype: '/../../x' }, {}, 'inside the folder'],
  [
    'an id twice',
    { ...vqa, questions: [ask(1, 2, 'q'), ask(1, 3, 'r')] },
    {},
    'questions[1].question_id: expected an id of its own',
  ],
  ['GQA without a picture', gqa({ imageId: undefined }), {}, 'id1.imageId'],
  ['GQA with a picture outside', gqa({ imageId: '/etc/x' }), {}, 'id1.imageId'],
  ['GQA with an answer of another kind', gqa({ answer: 5 }), {}, 'id1.answer: expected a string'],
  ['A-OKVQA with answers of another kind', [{ ...ask(1, 2, 'q'), direct_answers: [1] }], {}, '[0].direct_answers'],
])('%s is refused', (_, content, options, message) => {
  const file = write('refused.json', content);
  expect(() => openQuestions(file, options)).toThrow(FileError);
  expect(() => openQuestions(file, options)).toThrow(message);
});

test.each<[string, object, string]>([
  ['an unanswered question', { annotations: [answered(1, ['x'])] }, 'questions[0].question_id'],
  ['no list', { annotations: {} }, 'annotations: expected a list'],
  ['no answers', { annotations: [answered(1, [])] }, 'annotations[0].answers'],
  [
    'an answer that is no text',
    { annotations: [{ question_id: 1, answers: [{ answer: 4 }] }] },
    'annotations[0].answers[0].answer',
  ],
  ['answers given twice', { annotations: [answered(1, ['x']), answered(1, ['y'])] }, 'annotations[1].question_id'],
])('annotations with %s are refused', (_, content, message) => {
  const file = write('vqa.json', vqa);
  const annotations = write('refused.json', content);
  expect(() => openQuestions(file, { annotations })).toThrow(FileError);
  expect(() => openQuestions(file, { annotations })).toThrow(message);
});

test('options that do not fit are named', () => {
  const file = write('gqa.json', gqa({}));
  const refused = (options: object): unknown => {
    try {
      return openQuestions(file, options);
    } catch (error) {
      return error;
    }
  };
  expect(refused({ format: 'coco' })).toMatchObject({ name: 'ArgumentError', argument: 'format' });
  expect(refused({ annotations: 'a.json' })).toMatchObject({ name: 'ArgumentError', argument: 'annotations' });
  expect(refused({ imageName: 'a.jpg' })).toMatchObject({ name: 'ArgumentError', argument: 'imageName' });
  expect(() => openQuestions(path.join(folder, 'missing.json'))).toThrow(FileError);
  expect(refused({ format: 'vqa' })).toBeInstanceOf(FileError);
  expect(refused({ format: 'coco' })).toBeInstanceOf(ArgumentError);
});
