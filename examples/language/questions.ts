import type { Concept } from '../emoji/concepts.ts';
import { pick, type Random } from '../emoji/random.ts';
import type { Description } from '../emoji/scene.ts';

/** What can be asked about a scene. */
export const questionKinds = ['what', 'colour', 'place', 'size', 'food', 'named'] as const;
export type QuestionKind = (typeof questionKinds)[number];

/** A question about a scene, and its only right answer. */
export interface Question {
  readonly kind: QuestionKind;
  readonly question: string;
  readonly answer: string;
}

/** Which of the concepts one eats; no caption says so. */
const FOOD = new Set(
  `banana pineapple strawberry watermelon pizza hamburger carrot avocado bread cookie croissant doughnut corn eggplant hot-dog chili
  lemon lollipop pear apple taco tomato cake`.split(/\s+/),
);

export function isFood(word: string): boolean {
  return FOOD.has(word);
}

/** A question of one kind about a scene. Every second "is it a …?" names what is there. */
export function ask(kind: QuestionKind, scene: Description, concepts: readonly Concept[], random: Random): Question {
  const { size, concept, place, colour } = scene;
  const as = (question: string, answer: string): Question => ({ kind, question, answer });
  switch (kind) {
    case 'what':
      return as('what is in the picture?', concept);
    case 'colour':
      return as('what colour is the background?', colour);
    case 'place':
      return as(`where is the ${concept}?`, place);
    case 'size':
      return as('how big is it?', size);
    case 'food':
      return as('is it food?', isFood(concept) ? 'yes' : 'no');
    case 'named': {
      const named = random() < 0.5 ? concept : another(concept, concepts, random);
      return as(`is it a ${named}?`, named === concept ? 'yes' : 'no');
    }
  }
}

function another(concept: string, concepts: readonly Concept[], random: Random): string {
  for (;;) {
    const { word } = pick(random, concepts);
    if (word !== concept) return word;
  }
}
