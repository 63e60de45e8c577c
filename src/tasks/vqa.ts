import { blipQuestion, type ImageSource, type Question, type QuestionFormat, type QuestionSet } from '../data/index.ts';
import { checkArgument, having } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { shown } from '../native/fields.ts';
import { type Json, writeFileAtomically } from '../native/files.ts';
import type { AnswerOptions, EncodedImage, ImageInput, RankedAnswer, RankOptions } from '../pipeline/index.ts';
import { directAnswerAccuracy, exactMatch, type Lemmatizer, meanPercent, vqaAccuracy } from './metrics/index.ts';
import { checkTaskOptions, type TaskOptions } from './options.ts';

/** What {@link evaluateVqa} needs of a model; a `Blip2` has it. */
export interface VqaModel {
  /** One answer a picture and its question. */
  answer(images: readonly ImageInput[], questions: readonly string[], options?: AnswerOptions): Promise<string[]>;
  /** The given answers, the likeliest first, of each picture and its question. */
  rank(
    images: readonly ImageInput[],
    questions: readonly string[],
    answers: readonly string[],
    options?: RankOptions,
  ): Promise<RankedAnswer[][]>;
  /** Pictures that are to be asked about several times. */
  encode(images: readonly ImageInput[], options?: { batchSize?: number; signal?: AbortSignal }): Promise<EncodedImage[]>;
}

/** Options of {@link evaluateVqa}: those of `Blip2.answer`, and what is done with the answers. */
export interface VqaTaskOptions extends AnswerOptions, TaskOptions {
  /** Answers to choose from, by their likelihood; the model writes its own unless told. Of the options of writing only `template` then counts. */
  answers?: readonly string[] | undefined;
  /** Makes of a question what is asked; {@link blipQuestion} unless told, as LAVIS has it. */
  prepareQuestion?: ((question: string) => string) | undefined;
  /** Makes the base form of the model's answers, as OK-VQA's authors do; none unless told. */
  lemmatize?: Lemmatizer | undefined;
}

/** The answer to a question. */
export interface VqaAnswer {
  /** As the set has it. */
  readonly questionId: number | string;
  /** What the model wrote or chose, in its base form where there is a lemmatiser. */
  readonly answer: string;
  /** Where it was chosen: its share among the given answers. */
  readonly probability?: number;
}

/** Accuracies in per cent, as the official evaluations round them. */
export interface VqaMetrics {
  /** Of all questions. */
  readonly accuracy: number;
  /** By the kind of answer, where the questions have one. */
  readonly byAnswerType: Readonly<Record<string, number>>;
  /** By how the question begins, where that is told. */
  readonly byQuestionType: Readonly<Record<string, number>>;
}

/** What {@link evaluateVqa} gives. */
export interface VqaEvaluation {
  /** In the order of the questions. */
  readonly answers: readonly VqaAnswer[];
  /** Null where people's answers are not known. */
  readonly metrics: VqaMetrics | null;
}

/**
 * Asks every question of a set, zero-shot and with the paper's prompts unless told otherwise (§4.1), and scores the answers by the rules of the set's
 * authors. A picture is encoded once for all its questions.
 *
 * Results are written as the authors read them: `[{ question_id, answer }]` of VQA and OK-VQA, `[{ questionId, prediction }]` of GQA,
 * `{ "<id>": { direct_answer, multiple_choice } }` of A-OKVQA.
 *
 * @example
 * const questions = openQuestions('v2_OpenEnded_mscoco_val2014_questions.json', { annotations: 'v2_mscoco_val2014_annotations.json', images: 'val2014' });
 * const { metrics } = await evaluateVqa(blip2, questions, { output: 'results.json' });
 * @throws ArgumentError for options or questions that are not as expected; FileError where the results cannot be written; what the model throws,
 *   ImageError and the signal's reason among it
 */
export async function evaluateVqa(model: VqaModel, set: QuestionSet, options: VqaTaskOptions = {}): Promise<VqaEvaluation> {
  checkArgument('model', model, having('answer'));
  checkArgument('set', set, having('questions'));
  const { task, rest } = checkTaskOptions(options);
  const { answers: choices, prepareQuestion = (question) => blipQuestion(question), lemmatize, ...writing } = rest;
  checkHook('prepareQuestion', prepareQuestion);
  checkHook('lemmatize', lemmatize);
  const { questions } = set;
  if (questions.length === 0) throw new ArgumentError('set', 'at least one question', 'none');
  const known = hasAnswers(questions);
  const { batchSize, signal } = task;
  const calling = { batchSize, ...(signal === undefined ? {} : { signal }) };
  const answers = new Array<VqaAnswer>(questions.length);
  const order = byPicture(questions);
  const pictures = new Pictures(model, calling);
  try {
    for (let from = 0; from < order.length; from += batchSize) {
      const batch = order.slice(from, from + batchSize);
      const ofBatch = batch.map((i) => questions[i] as Question);
      const images = await pictures.of(ofBatch.map(({ image }) => image));
      const asked = ofBatch.map(({ question }) => prepareQuestion(question));
      const given =
        choices === undefined
          ? (await model.answer(images, asked, { ...writing, ...calling })).map((answer) => ({ answer }))
          : (await model.rank(images, asked, choices, { ...only(writing.template), ...calling })).map(best);
      for (const [j, i] of batch.entries()) {
        const { answer, ...more } = given[j] as { answer: string; probability?: number };
        answers[i] = { questionId: (ofBatch[j] as Question).questionId, answer: lemmatize?.(answer) ?? answer, ...more };
      }
      task.onProgress({ done: from + batch.length, total: order.length });
    }
  } finally {
    pictures.dispose();
  }
  if (task.output !== undefined) writeFileAtomically(task.output, `${JSON.stringify(RESULTS[set.format](answers))}\n`);
  return { answers, metrics: known ? metricsOf(set, answers) : null };
}

const only = (template: string | undefined): { template?: string } => (template === undefined ? {} : { template });

function best([first]: readonly RankedAnswer[]): Pick<RankedAnswer, 'answer' | 'probability'> {
  const { answer, probability } = first as RankedAnswer;
  return { answer, probability };
}

function checkHook(name: string, hook: unknown): void {
  if (hook !== undefined && typeof hook !== 'function') throw new ArgumentError(name, 'a function', shown(hook));
}

/** Whether people's answers are known: of all questions or of none. */
function hasAnswers(questions: readonly Question[]): boolean {
  const open = questions.find(({ answers }) => answers === undefined || answers.length === 0);
  if (open !== undefined && questions.some(({ answers }) => answers !== undefined && answers.length > 0)) {
    throw new ArgumentError('answers', 'answers to every question or to none', `none to question ${open.questionId}`);
  }
  return open === undefined;
}

/** Places of the questions, those of one picture next to each other. */
function byPicture(questions: readonly Question[]): number[] {
  const places = new Map<ImageSource, number[]>();
  for (const [i, { image }] of questions.entries()) {
    const own = places.get(image);
    if (own === undefined) places.set(image, [i]);
    else own.push(i);
  }
  return [...places.values()].flat();
}

/** Pictures that the model holds encoded while questions about them follow. */
class Pictures {
  readonly #model: VqaModel;
  readonly #options: { batchSize: number; signal?: AbortSignal };
  readonly #held = new Map<ImageSource, EncodedImage>();

  constructor(model: VqaModel, options: { batchSize: number; signal?: AbortSignal }) {
    this.#model = model;
    this.#options = options;
  }

  /** The encoded pictures; those of the last call are let go unless they are among them. */
  async of(images: readonly ImageSource[]): Promise<EncodedImage[]> {
    const wanted = new Set(images);
    for (const image of this.#held.keys()) if (!wanted.has(image)) this.#release(image);
    const missing = [...wanted].filter((image) => !this.#held.has(image));
    const encoded = missing.length === 0 ? [] : await this.#model.encode(missing, this.#options);
    for (const [i, image] of missing.entries()) this.#held.set(image, encoded[i] as EncodedImage);
    return images.map((image) => this.#held.get(image) as EncodedImage);
  }

  #release(image: ImageSource): void {
    this.#held.get(image)?.dispose();
    this.#held.delete(image);
  }

  dispose(): void {
    for (const image of [...this.#held.keys()]) this.#release(image);
  }
}

const RESULTS: Readonly<Record<QuestionFormat, (answers: readonly VqaAnswer[]) => Json>> = {
  vqa: (answers) => answers.map(({ questionId, answer }) => ({ question_id: questionId, answer })),
  gqa: (answers) => answers.map(({ questionId, answer }) => ({ questionId, prediction: answer })),
  aokvqa: (answers) =>
    Object.fromEntries(answers.map(({ questionId, answer }) => [questionId, { direct_answer: answer, multiple_choice: '' }])),
};

const ACCURACIES: Readonly<Record<QuestionFormat, (prediction: string, answers: readonly string[]) => number>> = {
  vqa: vqaAccuracy,
  gqa: (prediction, [answer]) => exactMatch(prediction, answer as string),
  aokvqa: directAnswerAccuracy,
};

function metricsOf({ format, questions }: QuestionSet, answers: readonly VqaAnswer[]): VqaMetrics {
  const each = questions.map((question, i) =>
    ACCURACIES[format]((answers[i] as VqaAnswer).answer, question.answers as readonly string[]),
  );
  const by = (type: 'answerType' | 'questionType'): Record<string, number> => {
    const groups = new Map<string, number[]>();
    for (const [i, question] of questions.entries()) {
      const name = question[type];
      if (name === undefined) continue;
      const group = groups.get(name);
      if (group === undefined) groups.set(name, [each[i] as number]);
      else group.push(each[i] as number);
    }
    return Object.fromEntries([...groups].map(([name, accuracies]) => [name, meanPercent(accuracies)]));
  };
  return { accuracy: meanPercent(each), byAnswerType: by('answerType'), byQuestionType: by('questionType') };
}
