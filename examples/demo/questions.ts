import path from 'node:path';
import { Blip2, ciderD, loadSafetensors, type RawImage, scope, Tokenizer } from 'blip2';
import { concepts as all, type Concept } from '../emoji/concepts.ts';
import { PICTURE_BYTES } from '../emoji/draw.ts';
import { type Figures, figuresOf } from '../emoji/figures.ts';
import { randomOf } from '../emoji/random.ts';
import { SIDE } from '../emoji/scene.ts';
import { rightAnswers } from '../language/answers.ts';
import { newLanguageModel } from '../language/models.ts';
import { ask, type Question, type QuestionKind, questionKinds } from '../language/questions.ts';
import { CAPTION_PROMPT } from '../language/texts.ts';
import type { LanguageKind } from '../language/tokenizer.ts';
import type { Gallery } from './scenes.ts';

/** Pictures that a stage's model is shown at a time. */
const BATCH = 100;

/** A question about a picture, and what was answered. */
export interface Asked extends Question {
  /** Which of the gallery's pictures. */
  readonly picture: number;
  readonly given: string;
}

/** What the whole model says of a gallery. */
export interface Told {
  readonly gallery: Gallery;
  readonly captions: readonly string[];
  readonly figures: Figures;
  /** CIDEr-D of the captions, 10 at most; papers give a hundred times as much. */
  readonly cider: number;
  readonly asked: readonly Asked[];
  /** Right answers in percent, by kind of question: with the picture, and without any (the language model alone). */
  readonly seeing: Answers;
  readonly blind: Answers;
}
export type Answers = Readonly<Record<QuestionKind | 'all', number>>;

/** Captions a gallery and asks one question of each kind about every picture. The model was never shown a picture with a question. */
export async function tell(model: string, language: Language, gallery: Gallery, concepts: readonly Concept[]): Promise<Told> {
  await using blip2 = await Blip2.fromPretrained(model);
  const images = gallery.captions.map((_, i) => imageOf(gallery, i));
  const captions = await blip2.caption(images, { prompt: CAPTION_PROMPT, batchSize: BATCH });
  const asked: Asked[] = [];
  const questions = questionsAbout(gallery, concepts);
  for (const kind of questionKinds) {
    const own = questions.filter((question) => question.kind === kind);
    const given = await blip2.answer(
      images,
      own.map(({ question }) => question),
      { batchSize: BATCH },
    );
    asked.push(...own.map((question, picture) => ({ ...question, picture, given: given[picture] ?? '' })));
  }
  const words = (text: string): string[] => text.split(' ');
  const pairs = captions.map((given, i) => ({ candidate: words(given), references: [words(gallery.captions[i] ?? '')] }));
  const cider = ciderD(pairs).corpus;
  const seeing = shares(asked, (_, i) => asked[i]?.given === asked[i]?.answer);
  const right = blindly(language, asked);
  return {
    gallery,
    captions,
    figures: figuresOf(gallery.scenes, captions),
    cider,
    asked,
    seeing,
    blind: shares(asked, (_, i) => right[i] === true),
  };
}

/** A frozen language model's kind and folder. */
export interface Language {
  readonly kind: LanguageKind;
  readonly folder: string;
}

/** One question of each kind about each picture. */
export function questionsAbout({ scenes }: Gallery, concepts: readonly Concept[]): Question[] {
  return scenes.flatMap((scene, i) => questionKinds.map((kind) => ask(kind, scene, concepts, randomOf(-3, i))));
}

export function imageOf({ pixels }: Gallery, at: number): RawImage {
  return { data: pixels.subarray(at * PICTURE_BYTES, (at + 1) * PICTURE_BYTES), width: SIDE, height: SIDE };
}

/** What the language model answers by itself. */
function blindly({ kind, folder }: Language, questions: readonly Question[]): boolean[] {
  const language = newLanguageModel(kind, all);
  using model = language.model;
  scope(() => model.loadStateDict(loadSafetensors(path.join(folder, 'model.safetensors'))));
  return rightAnswers(
    { ...language, model: model.eval() },
    { kind, tokenizer: Tokenizer.fromPretrained(folder) },
    questions,
    null,
  );
}

function shares(questions: readonly Question[], right: (question: Question, i: number) => boolean): Answers {
  const marks = questions.map(right);
  const share = (fits: (question: Question) => boolean): number => {
    const own = marks.filter((_, i) => fits(questions[i] as Question));
    return (100 * own.filter(Boolean).length) / own.length;
  };
  const kinds = questionKinds.map((kind) => [kind, share((question) => question.kind === kind)] as const);
  return { ...(Object.fromEntries(kinds) as Record<QuestionKind, number>), all: share(() => true) };
}
