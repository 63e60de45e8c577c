import {
  type BrokenSample,
  blipQuestion,
  ImageError,
  type ImageSource,
  type Question,
  type QuestionFormat,
  type QuestionSet,
} from '../data/index.ts';
import { BrokenCount } from '../data/loader/broken.ts';
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
  /** Makes of a question what is asked; {@link blipQuestion} unless told, as LAVIS has it. One of which nothing is left is asked all the same. */
  prepareQuestion?: ((question: string) => string) | undefined;
  /** Makes the base form of the model's answers, as OK-VQA's authors do; none unless told. */
  lemmatize?: Lemmatizer | undefined;
  /** Is called for every picture that cannot be used, whose questions are then left out; without it, such a picture ends the evaluation. */
  onBroken?: ((picture: BrokenSample) => void) | undefined;
  /** With it, the share of pictures that may be broken, of 1,000 at least; 0.01 unless told. */
  maxBroken?: number | undefined;
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
  /** In the order of the questions; none of those that were left out. */
  readonly answers: readonly VqaAnswer[];
  /** Of these; null where people's answers are not known, or all questions were left out. */
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
 * @throws ArgumentError for options or questions that are not as expected; BrokenSamplesError for more broken pictures than are borne; FileError
 *   where the results cannot be written; what the model throws, ImageError (without `onBroken`) and the signal's reason among it
 */
export async function evaluateVqa(model: VqaModel, set: QuestionSet, options: VqaTaskOptions = {}): Promise<VqaEvaluation> {
  checkArgument('model', model, having('answer'));
  checkArgument('set', set, having('questions'));
  const { task, rest } = checkTaskOptions(options);
  const { answers: choices, lemmatize, onBroken, maxBroken = 0.01, ...others } = rest;
  const { prepareQuestion = (question) => blipQuestion(question), ...writing } = others;
  for (const [name, hook] of Object.entries({ prepareQuestion, lemmatize, onBroken })) checkHook(name, hook);
  if (!(maxBroken >= 0 && maxBroken <= 1)) throw new ArgumentError('maxBroken', 'a share from 0 to 1', shown(maxBroken));
  const { questions } = set;
  if (questions.length === 0) throw new ArgumentError('set', 'at least one question', 'none');
  const known = hasAnswers(questions);
  const { batchSize, signal } = task;
  const calling = { batchSize, ...(signal === undefined ? {} : { signal }) };
  const given = new Map<Question, VqaAnswer>();
  const order = byPicture(questions);
  const judged = { length: new Set(questions.map(({ image }) => image)).size, shuffled: false };
  const pictures = new Pictures(model, calling, onBroken && { onBroken, count: new BrokenCount(maxBroken, judged) });
  try {
    for (let from = 0; from < order.length; from += batchSize) {
      const batch = order.slice(from, from + batchSize);
      const usable = await pictures.of(batch);
      if (usable.length > 0) {
        const images = usable.map(({ picture }) => picture);
        const asked = usable.map(({ question }) => prepareQuestion(question.question));
        // LAVIS asks what nothing is left of, too.
        const how = asked.some((question) => /^\s*$/.test(question)) ? { ...calling, allowBlank: true } : calling;
        const made =
          choices === undefined
            ? (await model.answer(images, asked, { ...writing, ...how })).map((answer) => ({ answer }))
            : (await model.rank(images, asked, choices, { ...only(writing.template), ...how })).map(best);
        for (const [i, { question }] of usable.entries()) {
          const { answer, ...more } = made[i] as { answer: string; probability?: number };
          given.set(question, { questionId: question.questionId, answer: lemmatize?.(answer) ?? answer, ...more });
        }
      }
      task.onProgress({ done: from + batch.length, total: order.length });
    }
  } finally {
    pictures.dispose();
  }
  const answered = questions.flatMap((question) => {
    const answer = given.get(question);
    return answer === undefined ? [] : [{ question, answer }];
  });
  const answers = answered.map(({ answer }) => answer);
  if (task.output !== undefined) writeFileAtomically(task.output, `${JSON.stringify(RESULTS[set.format](answers))}\n`);
  return { answers, metrics: known && answers.length > 0 ? metricsOf(set.format, answered) : null };
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

/** The questions, those of one picture next to each other. */
function byPicture(questions: readonly Question[]): Question[] {
  const pictures = new Map<ImageSource, Question[]>();
  for (const question of questions) {
    const own = pictures.get(question.image);
    if (own === undefined) pictures.set(question.image, [question]);
    else own.push(question);
  }
  return [...pictures.values()].flat();
}

/** How pictures that cannot be used are borne. */
interface Bearing {
  readonly onBroken: (picture: BrokenSample) => void;
  readonly count: BrokenCount;
}

/** Pictures that the model holds encoded while questions about them follow. */
class Pictures {
  readonly #model: VqaModel;
  readonly #options: { batchSize: number; signal?: AbortSignal };
  readonly #bearing: Bearing | undefined;
  /** Null for one that cannot be used. */
  readonly #held = new Map<ImageSource, EncodedImage | null>();

  /** @param bearing without it, a picture that cannot be used is thrown */
  constructor(model: VqaModel, options: { batchSize: number; signal?: AbortSignal }, bearing: Bearing | undefined) {
    this.#model = model;
    this.#options = options;
    this.#bearing = bearing;
  }

  /** The questions whose pictures can be used, with these, encoded; those of the last call are let go unless they are among them. */
  async of(questions: readonly Question[]): Promise<{ question: Question; picture: EncodedImage }[]> {
    const wanted = new Map(questions.map(({ image, imageId }) => [image, imageId]));
    for (const image of this.#held.keys()) if (!wanted.has(image)) this.#release(image);
    await this.#encode([...wanted].filter(([image]) => !this.#held.has(image)));
    return questions.flatMap((question) => {
      const picture = this.#held.get(question.image) ?? null;
      return picture === null ? [] : [{ question, picture }];
    });
  }

  async #encode(pictures: readonly (readonly [ImageSource, Question['imageId']])[]): Promise<void> {
    if (pictures.length === 0) return;
    const images = pictures.map(([image]) => image);
    try {
      const encoded = await this.#model.encode(images, this.#options);
      for (const [i, image] of images.entries()) this.#held.set(image, encoded[i] as EncodedImage);
      if (this.#bearing !== undefined) this.#bearing.count.seen += images.length;
    } catch (error) {
      const bearing = this.#bearing;
      if (bearing === undefined || !(error instanceof ImageError)) throw error;
      const [[image, id] = [], other] = pictures;
      // Which of them it was shows when each comes alone.
      if (other !== undefined) for (const picture of pictures) await this.#encode([picture]);
      else this.#leaveOut(bearing, image as ImageSource, { key: String(id), problem: error.message });
    }
  }

  #leaveOut({ onBroken, count }: Bearing, image: ImageSource, broken: BrokenSample): void {
    this.#held.set(image, null);
    count.seen++;
    onBroken(broken);
    count.add(broken);
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

function metricsOf(
  format: QuestionFormat,
  answered: readonly { readonly question: Question; readonly answer: VqaAnswer }[],
): VqaMetrics {
  const each = answered.map(({ question, answer }) => ACCURACIES[format](answer.answer, question.answers as readonly string[]));
  const by = (type: 'answerType' | 'questionType'): Record<string, number> => {
    const groups = new Map<string, number[]>();
    for (const [i, { question }] of answered.entries()) {
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
