import path from 'node:path';
import { ArgumentError, FileError } from '../../native/errors.ts';
import { shown } from '../../native/fields.ts';
import { type Json, readJson } from '../../native/files.ts';
import { FileFields } from '../fields.ts';
import type { ImageSource } from '../images.ts';
import { readId, staysInside } from './records.ts';

/** A question about a picture. */
export interface Question {
  /** Its number in VQA and OK-VQA, a string in GQA and A-OKVQA. */
  readonly questionId: number | string;
  readonly question: string;
  readonly image: ImageSource;
  readonly imageId: number | string;
  /** What people answered, GQA's one answer; none where the authors keep them to themselves. */
  readonly answers?: readonly string[] | undefined;
  /** VQA: the words that the question begins with. */
  readonly questionType?: string | undefined;
  /** VQA: `yes/no`, `number` or `other`. */
  readonly answerType?: string | undefined;
}

/** Formats of questions: VQAv2's, which OK-VQA has too, GQA's and A-OKVQA's. */
export type QuestionFormat = 'vqa' | 'gqa' | 'aokvqa';

/** Questions about pictures. */
export interface QuestionSet {
  /** What to call it in errors. */
  readonly name: string;
  /** Decides how answers are compared and in which form results are written. */
  readonly format: QuestionFormat;
  /** In the order of the file; GQA's in the order of their ids where these are numbers. */
  readonly questions: readonly Question[];
}

/** Options of {@link openQuestions}. */
export interface QuestionOptions {
  /** Found from what is in the file unless told. */
  format?: QuestionFormat | undefined;
  /** VQA: the file with the answers, `v2_mscoco_val2014_annotations.json`; without it the questions have none. */
  annotations?: string | undefined;
  /** The folder of the pictures; the file's own unless told. */
  images?: string | undefined;
  /**
   * A picture's name in that folder, with its id for `{}`, filled up to 12 digits where it is a number. Unless told as the authors have it:
   * `COCO_val2014_{}.jpg` by VQA's `data_subtype`, else `{}.jpg`.
   */
  imageName?: string | undefined;
}

/** The longest text that JSON.parse can be given. */
const MAX_BYTES = 2 ** 29 - 2 ** 10;

const FORMATS: Readonly<Record<QuestionFormat, (file: string, json: Json, options: QuestionOptions) => Question[]>> = {
  vqa: vqaQuestions,
  gqa: gqaQuestions,
  aokvqa: aokvqaQuestions,
};

/**
 * Reads questions as their authors publish them: VQAv2 and OK-VQA
 * (`{ data_subtype, questions: [{ question_id, image_id, question }] }`, and with `annotations` their
 * `{ annotations: [{ question_id, question_type, answer_type, answers: [{ answer }] }] }`), GQA (`{ "<id>": { imageId, question, answer } }`) and A-OKVQA
 * (`[{ question_id, image_id, question, direct_answers }]`).
 *
 * @throws FileError naming the field that is not as expected; ArgumentError for options that do not fit
 * @example openQuestions('v2_OpenEnded_mscoco_val2014_questions.json', { annotations: 'v2_mscoco_val2014_annotations.json', images: 'val2014' })
 */
export function openQuestions(file: string, options: QuestionOptions = {}): QuestionSet {
  const json = readJson(file, MAX_BYTES);
  const format = options.format ?? formatOf(json);
  if (!Object.hasOwn(FORMATS, format))
    throw new ArgumentError('format', `one of ${Object.keys(FORMATS).join(', ')}`, shown(format));
  if (options.annotations !== undefined && format !== 'vqa') {
    throw new ArgumentError('annotations', `none, as ${format} has the answers beside the questions`, shown(options.annotations));
  }
  if (options.imageName?.includes('{}') === false) {
    throw new ArgumentError('imageName', "a name with {} for the picture's id", shown(options.imageName));
  }
  const questions = FORMATS[format](file, json, options);
  if (questions.length === 0) throw new FileError(file, 'expected questions but there are none');
  return { name: path.basename(file), format, questions };
}

function formatOf(json: Json): QuestionFormat {
  if (Array.isArray(json)) return 'aokvqa';
  return typeof json === 'object' && json !== null && Array.isArray((json as Readonly<Record<string, Json>>).questions)
    ? 'vqa'
    : 'gqa';
}

function vqaQuestions(file: string, json: Json, options: QuestionOptions): Question[] {
  const whole = new FileFields(file, json);
  const answers = options.annotations === undefined ? undefined : readAnnotations(options.annotations);
  // The pictures of test-dev are test's.
  const subtype = whole.text('data_subtype')?.replace(/^test-dev/, 'test');
  const name = options.imageName ?? (subtype === undefined ? undefined : `COCO_${subtype.replaceAll('{}', '')}_{}.jpg`);
  const questions = whole.children('questions');
  if (questions === undefined) throw whole.refusal('questions', 'a list of questions');
  const ids = new Set<number | string>();
  return questions.map((fields) => {
    const questionId = ownId(fields, 'question_id', ids);
    const annotation = answers?.get(questionId);
    if (answers !== undefined && annotation === undefined) {
      throw fields.refusal('question_id', `one that ${options.annotations} has the answers of`);
    }
    return { questionId, ...readQuestion(fields, 'image_id', name, options.images), ...annotation };
  });
}

/** What is known of a question's answers. */
type Annotation = Pick<Question, 'answers' | 'questionType' | 'answerType'>;

function readAnnotations(file: string): Map<number | string, Annotation> {
  const whole = new FileFields(file, readJson(file, MAX_BYTES));
  const annotations = whole.children('annotations');
  if (annotations === undefined) throw whole.refusal('annotations', 'a list of answers to questions');
  const ids = new Set<number | string>();
  return new Map(
    annotations.map((fields) => {
      const answers = fields.children('answers')?.map((answer) => text(answer, 'answer')) ?? [];
      if (answers.length === 0) throw fields.refusal('answers', 'a list of answers');
      const types = { questionType: fields.text('question_type'), answerType: fields.text('answer_type') };
      return [ownId(fields, 'question_id', ids), { answers, ...types }];
    }),
  );
}

function gqaQuestions(file: string, json: Json, { images, imageName }: QuestionOptions): Question[] {
  const whole = new FileFields(file, json);
  return Object.entries(whole.toJSON()).map(([questionId, value]) => {
    const fields = new FileFields(file, value, questionId);
    const answer = fields.text('answer');
    const answers = answer === undefined ? undefined : [answer];
    return { questionId, ...readQuestion(fields, 'imageId', imageName, images), answers };
  });
}

function aokvqaQuestions(file: string, json: Json, { images, imageName }: QuestionOptions): Question[] {
  if (!Array.isArray(json)) throw new FileError(file, `expected a list of questions but received ${shown(json)}`);
  const ids = new Set<number | string>();
  return json.map((value, i) => {
    const fields = new FileFields(file, value, `[${i}]`);
    const answers = fields.list('direct_answers');
    if (answers !== undefined && (answers.length === 0 || answers.some((answer) => typeof answer !== 'string'))) {
      throw fields.refusal('direct_answers', 'a list of strings');
    }
    const questionId = ownId(fields, 'question_id', ids);
    return {
      questionId,
      ...readQuestion(fields, 'image_id', imageName, images),
      answers: answers as readonly string[] | undefined,
    };
  });
}

/** The question and its picture; `{}` of the picture's name is its id. */
function readQuestion(
  fields: FileFields,
  idName: string,
  imageName = '{}.jpg',
  folder = path.dirname(fields.file),
): Pick<Question, 'question' | 'image' | 'imageId'> {
  const imageId = readId(fields, idName);
  if (imageId === undefined) throw fields.refusal(idName, 'a whole number from 0 or a string');
  const name = imageName.replaceAll('{}', () => (typeof imageId === 'number' ? String(imageId).padStart(12, '0') : imageId));
  if (!staysInside(name)) throw fields.refusal(idName, 'an id that makes a path inside the folder', shown(name));
  const question = text(fields, 'question');
  if (question.trim() === '') throw fields.refusal('question', 'a question that is not blank');
  return { question, image: path.join(folder, name), imageId };
}

function ownId(fields: FileFields, name: string, seen: Set<number | string>): number | string {
  const id = readId(fields, name);
  if (id === undefined) throw fields.refusal(name, 'a whole number from 0 or a string');
  if (seen.has(id)) throw fields.refusal(name, 'an id of its own');
  seen.add(id);
  return id;
}

function text(fields: FileFields, name: string): string {
  const value = fields.text(name);
  if (value === undefined) throw fields.refusal(name, 'a string');
  return value;
}
