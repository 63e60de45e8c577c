import { Blip2, Chat } from 'blip2';
import type { Concept } from '../emoji/concepts.ts';
import { randomOf } from '../emoji/random.ts';
import type { Scene } from '../emoji/scene.ts';
import { ask, type Question } from '../language/questions.ts';
import { answerMarks } from '../language/texts.ts';
import { imageOf, type Language } from './questions.ts';
import type { Gallery } from './scenes.ts';

/** A question with its right answer, and what the model said. */
export interface Turn extends Question {
  readonly given: string;
}

/** What was asked about one picture, one question after the other. */
export interface Conversation {
  readonly gallery: Gallery;
  readonly picture: number;
  readonly turns: readonly Turn[];
}

const KINDS = ['what', 'size', 'colour'] as const;

/** Talks about the first pictures. */
export async function converse(
  model: string,
  gallery: Gallery,
  { kind }: Language,
  concepts: readonly Concept[],
  count: number,
): Promise<Conversation[]> {
  await using blip2 = await Blip2.fromPretrained(model);
  const free = [...gallery.scenes.keys()].filter((i) => gallery.scenes[i]?.set !== 'openmoji');
  const talks: Conversation[] = [];
  for (const picture of free.slice(0, count)) {
    const template = `question: {} ${answerMarks[kind]} {}`;
    const chat = await Chat.start(blip2, imageOf(gallery, picture), { template, maxNewTokens: 8 });
    const turns: Turn[] = [];
    for (const asked of KINDS) {
      const question = ask(asked, gallery.scenes[picture] as Scene, concepts, randomOf(0, picture));
      let given = '';
      for await (const piece of chat.ask(question.question)) given += piece;
      turns.push({ ...question, given: given.trim() });
    }
    talks.push({ gallery, picture, turns });
    chat.close();
  }
  return talks;
}
