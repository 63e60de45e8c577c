import fs from 'node:fs';
import path from 'node:path';
import { ArgumentError } from '../../src/native/errors.ts';
import { contractions } from '../../src/tasks/metrics/contractions.ts';
import {
  bleu,
  type CaptionPair,
  ciderD,
  directAnswerAccuracy,
  exactMatch,
  meanPercent,
  processAnswer,
  processPunctuation,
  processWords,
  rougeL,
  tokenizeCaption,
  vqaAccuracy,
} from '../../src/tasks/metrics/index.ts';

const golden = <T>(name: string): T =>
  JSON.parse(fs.readFileSync(path.join(import.meta.dirname, `../fixtures/metrics/${name}.json`), 'utf8')) as T;

interface Scores<T> {
  corpus: T;
  each: T[];
}
const captions = golden<{
  corpora: { pairs: CaptionPair[]; bleu: Scores<number[]>; rougeL: Scores<number>; ciderD: Scores<number> }[];
  tokens: { caption: string; tokens: string[] }[];
}>('captions');
const vqa = golden<{
  processed: { text: string; punctuation: string; both: string }[];
  contractions: Record<string, string>;
  questions: { prediction: string; answers: string[]; questionType: string; answerType: string }[];
  evaluation: {
    each: number[];
    overall: number;
    perQuestionType: Record<string, number>;
    perAnswerType: Record<string, number>;
  };
}>('vqa');

function expectClose(ours: readonly number[], theirs: readonly number[]): void {
  expect(ours).toHaveLength(theirs.length);
  expect(Math.max(...ours.map((value, i) => Math.abs(value - (theirs[i] as number))))).toBeLessThanOrEqual(1e-6);
}

test.each(captions.corpora.map((corpus, i) => [i, corpus] as const))('corpus %i scores as with pycocoevalcap', (_, corpus) => {
  const { corpus: whole, each } = bleu(corpus.pairs);
  expectClose(whole, corpus.bleu.corpus);
  expectClose(each.flat(), corpus.bleu.each.flat());
  for (const [metric, theirs] of [
    [rougeL, corpus.rougeL],
    [ciderD, corpus.ciderD],
  ] as const) {
    const ours = metric(corpus.pairs);
    expectClose([ours.corpus], [theirs.corpus]);
    expectClose(ours.each, theirs.each);
  }
});

test('the recorded corpora tell good captions from bad ones, empty ones and all', () => {
  const scores = captions.corpora.flatMap(({ ciderD }) => ciderD.each);
  expect(Math.max(...scores)).toBeGreaterThan(4);
  expect(Math.min(...scores)).toBe(0);
  expect(captions.corpora.some(({ pairs }) => pairs.some(({ candidate }) => candidate.length === 0))).toBe(true);
});

test('BLEU, ROUGE-L and CIDEr-D of hand-worked cases', () => {
  const pair = (candidate: string, ...references: string[]): CaptionPair => ({
    candidate: candidate.split(' '),
    references: references.map((text) => text.split(' ')),
  });
  // Of the the the the, the reference has two; 4 tokens are nearer to 5 than to 9: BP = exp(1 − 5/4).
  const { corpus } = bleu([pair('the the the the', 'the cat and the dog', 'one two three four five six seven eight nine')]);
  expect(corpus[0]).toBeCloseTo(0.5 * Math.exp(-0.25), 8);
  // Longest common subsequence: a b d, P = 3/4, R = 3/3.
  const score = ((1 + 1.44) * 0.75 * 1) / (1 + 1.44 * 0.75);
  expect(rougeL([pair('a b c d', 'a b d')]).corpus).toBeCloseTo(score, 12);
  // Captions equal to their only reference, with no n-gram in common with the other picture: 10 for each order that there is.
  expect(ciderD([pair('a b c d', 'a b c d'), pair('e f', 'e f')]).each).toEqual([expect.closeTo(10, 9), expect.closeTo(5, 9)]);
});

test('metrics refuse corpora without captions or references', () => {
  for (const metric of [bleu, rougeL, ciderD]) {
    expect(() => metric([])).toThrow(ArgumentError);
    expect(() => metric([{ candidate: ['a'], references: [] }])).toThrow('pairs[0].references');
  }
});

test.each(captions.tokens)('$caption has the tokens of the COCO evaluation', ({ caption, tokens }) => {
  expect(tokenizeCaption(caption)).toEqual(tokens);
});

test.each(vqa.processed)('the answer $text is processed as by the VQA tool', ({ text, punctuation, both }) => {
  expect(processPunctuation(text)).toBe(punctuation);
  expect(processWords(punctuation)).toBe(both);
});

test('contractions are those of the VQA tool', () => {
  expect(Object.fromEntries(contractions)).toEqual(vqa.contractions);
});

test('accuracies are those of the VQA tool', () => {
  const { questions, evaluation } = vqa;
  const each = questions.map(({ prediction, answers }) => vqaAccuracy(prediction, answers));
  expect(each.map((accuracy) => meanPercent([accuracy]))).toEqual(evaluation.each);
  expect([...new Set(evaluation.each)].sort((a, b) => a - b)).toEqual([0, 30, 60, 90, 100]);
  expect(meanPercent(each)).toBe(evaluation.overall);
  for (const [of, expected] of [
    ['questionType', evaluation.perQuestionType],
    ['answerType', evaluation.perAnswerType],
  ] as const) {
    for (const [type, accuracy] of Object.entries(expected)) {
      expect(meanPercent(each.filter((_, i) => questions[i]?.[of] === type))).toBe(accuracy);
    }
  }
});

test('accuracies of hand-worked cases', () => {
  const ten = (answer: string, count: number): string[] =>
    Array.from({ length: 10 }, (_, i) => (i < count ? answer : `other ${i}`));
  // The n people who said it have n − 1 others who did, the rest n.
  expect(vqaAccuracy('dog', ten('dog', 1))).toBeCloseTo((9 * (1 / 3) + 0) / 10, 12);
  expect(vqaAccuracy('dog', ten('dog', 2))).toBeCloseTo((8 * (2 / 3) + 2 * (1 / 3)) / 10, 12);
  expect(vqaAccuracy('dog', ten('dog', 3))).toBeCloseTo((7 + 3 * (2 / 3)) / 10, 12);
  expect(vqaAccuracy('The dog.', ten('dog', 4))).toBe(1);
  // People's words are not processed, and their punctuation only where they disagree.
  expect(vqaAccuracy('two', ten('two', 9))).toBe(0);
  expect(vqaAccuracy('t-shirt', ten('t-shirt', 9))).toBe(1);
  expect(vqaAccuracy('t-shirt', ten('t-shirt', 10))).toBe(0);
  expect(exactMatch('A T-shirt.', 't-shirt')).toBe(1);
  expect(exactMatch('shirt', 't-shirt')).toBe(0);
  expect(directAnswerAccuracy('dog', ten('dog', 2))).toBeCloseTo(2 / 3, 12);
  expect(directAnswerAccuracy('Dog', ten('dog', 10))).toBe(0);
  expect(processAnswer('\tNone of\nthe above ')).toBe('0 of above');
});

test('percentages are rounded as in Python, ties to even', () => {
  expect([0.00125, 0.00375, 0.00625, 1 / 3].map((share) => meanPercent([share]))).toEqual([0.12, 0.38, 0.62, 33.33]);
  expect(meanPercent([])).toBe(0);
});
