import { WHITE_SPACE } from '../../data/text/white-space.ts';
import { aNumber, arrayOf, aString, checkArgument } from '../../native/arguments.ts';
import { contractions } from './contractions.ts';

const PUNCTUATION = [...';/[]"{}()=+\\_-><@`,?!'];
const DIGITS_AND_COMMA = /\p{Nd},\p{Nd}/u;
/** A period that is not before a digit. */
const PERIOD = /\.(?!\p{Nd})/gu;
const MOST_PERIODS = 32;

const NUMBERS = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'];
const NUMERALS: ReadonlyMap<string, string> = new Map([
  ['none', '0'],
  ...NUMBERS.map((word, number) => [word, String(number)] as const),
]);
const ARTICLES: ReadonlySet<string> = new Set(['a', 'an', 'the']);

const SPACE = new RegExp(`[${WHITE_SPACE}]+`, 'u');
const ENDS = new RegExp(`^[${WHITE_SPACE}]+|[${WHITE_SPACE}]+$`, 'gu');

/**
 * The VQA evaluation's processing of punctuation: each of `; / [ ] " { } ( ) = + \ _ - > < @ , ? !` and the backtick is removed where the text has it
 * beside a space, or has digits around a comma, and becomes a space otherwise; then up to 32 periods that are not before a digit are removed.
 */
export function processPunctuation(answer: string): string {
  checkArgument('answer', answer, aString);
  const numbers = DIGITS_AND_COMMA.test(answer);
  let text = answer;
  for (const mark of PUNCTUATION) {
    const removed = numbers || answer.includes(`${mark} `) || answer.includes(` ${mark}`);
    text = text.replaceAll(mark, removed ? '' : ' ');
  }
  let periods = 0;
  return text.replace(PERIOD, (period) => (periods++ < MOST_PERIODS ? '' : period));
}

/** Its processing of words: lower case, `none` and `zero` to `ten` as digits, without articles, contractions with their apostrophes. */
export function processWords(answer: string): string {
  checkArgument('answer', answer, aString);
  const words = answer
    .toLowerCase()
    .split(SPACE)
    .filter((word) => word !== '')
    .map((word) => NUMERALS.get(word) ?? word)
    .filter((word) => !ARTICLES.has(word));
  return words.map((word) => contractions.get(word) ?? word).join(' ');
}

/** Makes the base form of an answer's words; OK-VQA's authors evaluate with one. */
export type Lemmatizer = (answer: string) => string;

/** A predicted answer as the VQA evaluation compares it: ends trimmed, then {@link processPunctuation} and {@link processWords}. */
export function processAnswer(prediction: string): string {
  checkArgument('prediction', prediction, aString);
  return processWords(processPunctuation(prediction.replace(/[\n\t]/g, ' ').replace(ENDS, '')));
}

/**
 * Accuracy of a prediction by the official rule of VQA (Antol et al. 2015), 0 to 1: the mean, over the people who answered, of
 * min(1, n/3) with n the number of the others whose answer it is. The prediction is processed ({@link processAnswer}); people's answers, unless they
 * all say the same, have their punctuation processed only.
 *
 * @param answers at least one; VQAv2 and OK-VQA have ten
 */
export function vqaAccuracy(prediction: string, answers: readonly string[]): number {
  checkArgument('answers', answers, arrayOf(aString));
  const processed = processAnswer(prediction);
  const said = new Set(answers).size > 1 ? answers.map(processPunctuation) : answers;
  const matches = said.filter((answer) => answer === processed).length;
  const shares = said.map((answer) => Math.min(1, (matches - (answer === processed ? 1 : 0)) / 3));
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

/** Whether a prediction is the one right answer, both processed ({@link processAnswer}): GQA's accuracy, 0 or 1. */
export function exactMatch(prediction: string, answer: string): number {
  return processAnswer(prediction) === processAnswer(answer) ? 1 : 0;
}

/** A-OKVQA's accuracy of a direct answer, 0 to 1: min(1, n/3) with n the number of people who gave this very answer. */
export function directAnswerAccuracy(prediction: string, answers: readonly string[]): number {
  checkArgument('prediction', prediction, aString);
  checkArgument('answers', answers, arrayOf(aString));
  return Math.min(1, answers.filter((answer) => answer === prediction).length / 3);
}

/** The mean of accuracies in per cent with two decimals, ties to the even one, as the official evaluations report it; 0 of none. */
export function meanPercent(accuracies: readonly number[]): number {
  checkArgument('accuracies', accuracies, arrayOf(aNumber));
  if (accuracies.length === 0) return 0;
  const value = (100 * accuracies.reduce((sum, accuracy) => sum + accuracy, 0)) / accuracies.length;
  // Ties are exact only where the value is an odd number of eighths.
  if ((value * 8) % 2 !== 1) return Number(value.toFixed(2));
  const below = Math.floor(value * 100);
  return (below % 2 === 0 ? below : below + 1) / 100;
}
