// Text as LAVIS prepares it for BLIP-2, by its processors of these names.
import { ArgumentError } from '../../native/errors.ts';
import { shown } from '../../native/fields.ts';
import { WHITE_SPACE } from './white-space.ts';

/** Options of {@link blipCaption}. */
export interface BlipCaptionOptions {
  /** Goes before the caption as it is: `'a photo of '`. */
  prompt?: string;
  /** What is beyond so many words is cut off; 50 unless told. */
  maxWords?: number;
}

const PUNCTUATION = /[.!"()*#:;~]/g;

const SPACES = new RegExp(`[${WHITE_SPACE}]{2,}`, 'g');

/** A caption in lower case, with `. ! " ( ) * # : ; ~` as spaces, runs of white space as one, and at most 50 words, after the prompt. */
export function blipCaption(caption: string, options: BlipCaptionOptions = {}): string {
  if (typeof caption !== 'string') throw new ArgumentError('caption', 'a string', shown(caption));
  const { prompt = '', maxWords = 50 } = options;
  const spaced = caption.toLowerCase().replace(PUNCTUATION, ' ').replace(SPACES, ' ');
  return prompt + firstWords(strip(strip(spaced, '\n', false), ' '), maxWords);
}

/** A question in lower case without `. ! " ( ) * # : ; ~`, and with at most 50 words. */
export function blipQuestion(question: string, options: { maxWords?: number } = {}): string {
  if (typeof question !== 'string') throw new ArgumentError('question', 'a string', shown(question));
  return firstWords(strip(question.toLowerCase().replace(PUNCTUATION, ''), ' ', false), options.maxWords ?? 50);
}

/** The text without a character that its end, and unless told otherwise its beginning, repeats. */
function strip(text: string, character: string, both = true): string {
  let from = 0;
  let to = text.length;
  while (both && from < to && text[from] === character) from++;
  while (to > from && text[to - 1] === character) to--;
  return text.slice(from, to);
}

// Words are what single spaces separate.
function firstWords(text: string, maxWords: number): string {
  return text.split(' ').slice(0, maxWords).join(' ');
}
