import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { concepts as all } from '../../examples/emoji/concepts.ts';
import { randomOf } from '../../examples/emoji/random.ts';
import { caption } from '../../examples/emoji/scene.ts';
import { holds, keptOut } from '../../examples/emoji/splits.ts';
import { lessonBatch, toBatch } from '../../examples/language/batches.ts';
import { ask, isFood, type questionKinds } from '../../examples/language/questions.ts';
import { imagine, describe as inWords, lesson } from '../../examples/language/texts.ts';
import { languageKinds, makeTokenizer, specialId, vocabulary } from '../../examples/language/tokenizer.ts';
import { setThreads } from '../../src/index.ts';

const concepts = all.slice(0, 6);
let folder: string;
beforeAll(() => {
  setThreads(1);
  folder = mkdtempSync(path.join(os.tmpdir(), 'blip2-language-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const scene = { size: 'small', concept: 'rocket', place: 'top left', colour: 'red' } as const;

test('questions have the answers that the scene gives', () => {
  const answers = (kind: (typeof questionKinds)[number]) =>
    Array.from({ length: 20 }, (_, i) => ask(kind, scene, concepts, randomOf(1, i)));
  expect(answers('what')[0]).toEqual({ kind: 'what', question: 'what is in the picture?', answer: 'rocket' });
  expect(answers('place')[0]).toMatchObject({ question: 'where is the rocket?', answer: 'top left' });
  expect(answers('size')[0]?.answer).toBe('small');
  expect(answers('colour')[0]?.answer).toBe('red');
  expect(answers('food')[0]?.answer).toBe('no');
  for (const { question, answer } of answers('named')) expect(answer).toBe(question === 'is it a rocket?' ? 'yes' : 'no');
  expect(new Set(answers('named').map(({ answer }) => answer))).toEqual(new Set(['yes', 'no']));
});

test('every food is one of the concepts', () => {
  expect(all.filter(({ word }) => isFood(word))).toHaveLength(23);
});

test.each(languageKinds)('the tokenizer of %s knows every word that is said', async (kind) => {
  const tokenizer = await makeTokenizer(path.join(folder, kind), kind, all);
  const random = randomOf(2, 0);
  const texts = Array.from({ length: 200 }, () => {
    const imagined = imagine(all, [], random);
    const { description, pieces } = lesson(kind, imagined, all, random);
    return [...description, ...pieces.map(({ text }) => text), caption(imagined)].join(' ');
  });
  const ids = tokenizer.encode(texts).inputIds.flat();
  expect(ids).not.toContain(specialId(kind, '<unk>'));
  const [row] = tokenizer.encode(['Question: what is it? Answer:']).inputIds;
  expect(kind === 'opt' ? row?.[0] : row?.at(-1)).toBe(specialId(kind, '</s>'));
  expect(row).toHaveLength(9);
  expect(vocabulary(kind, all)).toHaveLength(new Set(vocabulary(kind, all)).size);
});

test('no text tells of a pair that is kept from training, and descriptions say every fact', () => {
  const unseen = keptOut(concepts, 0);
  const random = randomOf(3, 0);
  for (let i = 0; i < 500; i++) {
    const imagined = imagine(concepts, unseen, random);
    expect(holds(unseen, imagined)).toBe(false);
    const words = inWords(imagined, random);
    expect(words).toEqual(
      expect.arrayContaining([imagined.size, imagined.concept, ...imagined.place.split(' '), imagined.colour]),
    );
    expect(words.length).toBeLessThanOrEqual(13);
  }
});

test('what is said is the next token, and an end follows each answer', async () => {
  const tokenizer = await makeTokenizer(path.join(folder, 'opt'), 'opt', concepts);
  const pieces = [
    { text: 'question: how big is it? answer:', said: false },
    { text: 'small', said: true },
    { text: 'question: where is the rocket? answer:', said: false },
    { text: 'top left', said: true },
  ];
  const { inputIds, labels, blend, words } = toBatch(
    { kind: 'opt', tokenizer },
    [{ description: inWords(scene, randomOf(0, 0)), pieces }],
    13,
    null,
  );
  const [ids, said] = [inputIds.flatten().toArray() as number[], labels.flatten().toArray() as number[]];
  const end = specialId('opt', '</s>');
  const of = (text: string) => [...(tokenizer.encode([text], { addSpecialTokens: false }).inputIds[0] ?? [])];
  expect(said.filter((id) => id >= 0)).toEqual([...of('small'), end, ...of('top left'), end]);
  for (const [i, id] of said.entries()) if (id >= 0 && id !== end) expect(id).toBe(ids[i + 1]);
  // Without a generator each word stands in a slot of its own.
  expect(blend.sum(2).flatten().toArray()).toEqual(Array.from({ length: 13 }, (_, s) => (s < words.ne(0).sum().item() ? 1 : 0)));
});

test('a batch is the same whenever it is drawn', async () => {
  const tokenizer = await makeTokenizer(path.join(folder, 'opt'), 'opt', concepts);
  const source = { kind: 'opt', tokenizer, concepts, unseen: keptOut(concepts, 0), seed: 5, batchSize: 8 } as const;
  const [one, again, other] = [lessonBatch(source, 7), lessonBatch(source, 7), lessonBatch(source, 8)];
  for (const name of ['words', 'blend', 'noise', 'inputIds', 'labels'] as const)
    expect(one[name].toArray()).toEqual(again[name].toArray());
  expect(one.words.toArray()).not.toEqual(other.words.toArray());
});
