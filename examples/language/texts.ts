import type { Concept } from '../emoji/concepts.ts';
import { pick, type Random, shuffled } from '../emoji/random.ts';
import { anything, caption, type Description } from '../emoji/scene.ts';
import { holds, type Pair } from '../emoji/splits.ts';
import { ask, type QuestionKind, questionKinds } from './questions.ts';
import type { LanguageKind } from './tokenizer.ts';

/** What captions are asked for with (the paper's prompt), and what a question ends with (the paper's, for each kind of model). */
export const CAPTION_PROMPT = 'a photo of';
export const answerMarks = { opt: 'answer:', t5: 'short answer:' } as const;

/** A piece of text, and whether the model is to learn to say it. */
export interface Piece {
  readonly text: string;
  readonly said: boolean;
}

/** A description of a scene, and then what is said about it. */
export interface Lesson {
  readonly description: readonly string[];
  readonly pieces: readonly Piece[];
}

/** A scene in words; pairs that are kept from all training are in no text, either. */
export function imagine(concepts: readonly Concept[], unseen: readonly Pair[], random: Random): Description {
  for (;;) {
    const scene = { ...anything(random), concept: pick(random, concepts).word };
    if (!holds(unseen, scene)) return scene;
  }
}

/** A scene with a pair that is kept from all training. */
export function anyHeldOut({ concept, what }: Pair, random: Random): Description {
  return { ...anything(random), ...what, concept: concept.word };
}

/** A lesson about a scene: a caption, perhaps with its first words given, or one to four questions with their answers. */
export function lesson(kind: LanguageKind, scene: Description, concepts: readonly Concept[], random: Random): Lesson {
  const pieces = random() < 0.35 ? captionPieces(scene, random) : questionPieces(kind, scene, concepts, random);
  return { description: describe(scene, random), pieces };
}

/** A caption's words, or just the facts, in any order. */
export function describe(scene: Description, random: Random): string[] {
  const words = caption(scene).split(' ');
  if (random() < 0.4) return words;
  const { size, concept, place, colour } = scene;
  const facts = shuffled(random, [[size], [concept], place.split(' '), [colour, ...(random() < 0.5 ? ['background'] : [])]]);
  return random() < 0.5 ? facts.flatMap((fact) => [...fact, ',']).slice(0, -1) : facts.flat();
}

function captionPieces(scene: Description, random: Random): Piece[] {
  const words = caption(scene).split(' ');
  const given = random() < 0.5 ? 0 : Math.floor(random() * words.length);
  return [
    { text: [CAPTION_PROMPT, ...words.slice(0, given)].join(' '), said: false },
    { text: words.slice(given).join(' '), said: true },
  ];
}

function questionPieces(kind: LanguageKind, scene: Description, concepts: readonly Concept[], random: Random): Piece[] {
  const mark = pick(random, Object.values(answerMarks));
  return asked(kind, random).flatMap((each) => {
    const { question, answer } = ask(each, scene, concepts, random);
    return [
      { text: `question: ${question} ${mark}`, said: false },
      { text: answer, said: true },
    ];
  });
}

/** What hangs on the concept is learned last: to name it, and to compare it with a word. */
const HARD: readonly QuestionKind[] = ['what', 'named', 'food'];

function asked(kind: LanguageKind, random: Random): QuestionKind[] {
  // T5 learns from the last answer only. Mostly nothing stands before it: what was said before tells of the thing, too.
  if (kind === 't5' && random() < 0.75) return [pick(random, random() < 0.6 ? HARD : questionKinds)];
  const kinds = shuffled(random, questionKinds).slice(0, 1 + Math.floor(random() * 3));
  if (random() < 0.4 && !kinds.includes('named')) kinds.push('named');
  // What the thing is comes first: the other questions may name it.
  return kinds.sort((a, b) => Number(b === 'what') - Number(a === 'what'));
}
