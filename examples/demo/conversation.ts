import { Blip2, Chat, type ChatTurn } from 'blip2';
import { answerMarks } from '../language/texts.ts';
import { imageOf, type Language } from './questions.ts';
import type { Gallery } from './scenes.ts';

/** What was asked about one picture, one question after the other, and what the model said. */
export interface Conversation {
  readonly gallery: Gallery;
  readonly picture: number;
  readonly turns: readonly ChatTurn[];
}

const QUESTIONS = ['what is in the picture?', 'how big is it?', 'what colour is the background?'];

/** Talks about the first pictures. */
export async function converse(model: string, gallery: Gallery, { kind }: Language, count: number): Promise<Conversation[]> {
  await using blip2 = await Blip2.fromPretrained(model);
  const free = [...gallery.scenes.keys()].filter((i) => gallery.scenes[i]?.set !== 'openmoji');
  const talks: Conversation[] = [];
  for (const picture of free.slice(0, count)) {
    const template = `question: {} ${answerMarks[kind]} {}`;
    const chat = await Chat.start(blip2, imageOf(gallery, picture), { template, maxNewTokens: 8 });
    for (const question of QUESTIONS) for await (const _ of chat.ask(question));
    talks.push({ gallery, picture, turns: [...chat.turns] });
    chat.close();
  }
  return talks;
}
