import { aString, checkArgument } from '../../native/arguments.ts';

// One alternative a kind of token, the longest first.
const TOKEN = new RegExp(
  [
    /\.{3,}|-{2,}|[?!]{2,}/u, // runs of punctuation
    /(?:\p{L}\.){2,}/u, // u.s., p.m.
    /(?:mr|mrs|ms|dr|st|vs|jr|sr|etc|ave|no(?=\.\s\d))\./u,
    /(?<![\p{L}\p{N}])'n'(?![\p{L}\p{N}])/u, // rock 'n' roll
    /[@#]\p{L}[\p{L}\p{N}_]*/u,
    // Words and numbers; what joins two parts of one: hyphens, dots, and between digits , : and /
    /[\p{L}\p{M}\p{N}_]+(?:(?:[-.]|(?<=\d)[,:/](?=\d)|'(?=[\p{L}\p{N}]))[\p{L}\p{M}\p{N}_]+)*/u,
    /[^\s]/u,
  ]
    .map(({ source }) => source)
    .join('|'),
  'gu',
);

/** Endings that are tokens of their own. */
const CLITIC = /^(.+?)(n't|'(?:s|m|d|re|ve|ll))$/u;

/** Words that are two tokens. */
const SPLIT: Readonly<Record<string, readonly string[]>> = {
  cannot: ['can', 'not'],
  gonna: ['gon', 'na'],
  gotta: ['got', 'ta'],
  wanna: ['wan', 'na'],
  gimme: ['gim', 'me'],
  lemme: ['lem', 'me'],
};

const BRACKETS: Readonly<Record<string, string>> = {
  '(': '-lrb-',
  ')': '-rrb-',
  '[': '-lsb-',
  ']': '-rsb-',
  '{': '-lcb-',
  '}': '-rcb-',
};

const DROPPED: ReadonlySet<string> = new Set(["'", '"', '`', '.', '?', '!', ',', ':', '-', '--', '...', ';']);

/**
 * A caption's tokens for {@link bleu}, {@link rougeL} and {@link ciderD}: lower case, clitics split off (`is n't`, `man 's`), and quotes and
 * `. ? ! , : - -- ... ;` dropped, as the COCO evaluation has it from Stanford's PTBTokenizer; brackets stay, as `-lrb-` and so on, as they do there.
 * Ordinary captions come out as they do there. What differs: web addresses are split, of abbreviations only a few keep their dot (u.s., mr., st., …),
 * of currency signs only $ is known, and of rare contractions ('twas, whaddya, o'clock) some are split elsewhere.
 *
 * @example tokenizeCaption("A man's dog isn't here.") // ['a', 'man', "'s", 'dog', 'is', "n't", 'here']
 */
export function tokenizeCaption(caption: string): string[] {
  checkArgument('caption', caption, aString);
  const text = caption
    .toLowerCase()
    .replace(/[\u201c\u201d]|''/g, '"')
    .replace(/[\u2018\u2019]/g, "'")
    .replace(/[\u2013\u2014]/g, '--')
    .replace(/\u2026/g, '...');
  return (text.match(TOKEN) ?? []).flatMap(partsOf).filter((token) => !DROPPED.has(token));
}

function partsOf(token: string): readonly string[] {
  if (Object.hasOwn(SPLIT, token)) return SPLIT[token] as readonly string[];
  if (Object.hasOwn(BRACKETS, token)) return [BRACKETS[token] as string];
  const [, word, ending] = CLITIC.exec(token) ?? [];
  return word === undefined || ending === undefined ? [token] : [word, ending];
}
