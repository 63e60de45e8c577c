import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Tokenizer } from 'blip2';
import type { Concept } from '../emoji/concepts.ts';
import { colourNames, placeNames, sizeNames } from '../emoji/scene.ts';

/** The two kinds of language model: decoder-only, and encoder-decoder. */
export const languageKinds = ['opt', 't5'] as const;
export type LanguageKind = (typeof languageKinds)[number];

/** Special tokens by id, in the order that each kind has them; the last stands for one query of a picture. */
const SPECIAL = {
  opt: ['<s>', '<pad>', '</s>', '<unk>', '<image>'],
  t5: ['<pad>', '</s>', '<unk>', '<image>'],
} as const satisfies Record<LanguageKind, readonly string[]>;

const SAID = `a an in the on background , photo of question : what is picture ? colour where how big it food short answer yes no`;

/** Every token of a kind of language model, by id: the special ones, then each word that is ever said of these concepts. */
export function vocabulary(kind: LanguageKind, concepts: readonly Concept[]): string[] {
  const words = [SAID, ...sizeNames, ...placeNames, ...colourNames].join(' ').split(' ');
  return [...SPECIAL[kind], ...new Set([...words, ...concepts.map(({ word }) => word)])];
}

/** The id of a special token. */
export function specialId(kind: LanguageKind, token: string): number {
  const id = (SPECIAL[kind] as readonly string[]).indexOf(token);
  if (id < 0) throw new RangeError(`${kind} has no special token ${token}`);
  return id;
}

/**
 * Writes and reads back a tokenizer of whole words, in Hugging Face's files. As the real ones do, OPT's puts `</s>` in front, and T5's
 * at the end.
 */
export async function makeTokenizer(folder: string, kind: LanguageKind, concepts: readonly Concept[]): Promise<Tokenizer> {
  const end = { SpecialToken: { id: '</s>', type_id: 0 } };
  const sequence = (id: string) => ({ Sequence: { id, type_id: 0 } });
  const template = (...ids: string[]) => (kind === 'opt' ? [end, ...ids.map(sequence)] : [...ids.map(sequence), end]);
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL[kind].map((content, id) => ({ id, content, ...flags })),
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'WhitespaceSplit' },
        { type: 'Split', pattern: { Regex: '[:?,]' }, behavior: 'Isolated', invert: false },
      ],
    },
    post_processor: {
      type: 'TemplateProcessing',
      single: template('A'),
      pair: template('A', 'B'),
      special_tokens: { '</s>': { id: '</s>', ids: [specialId(kind, '</s>')], tokens: ['</s>'] } },
    },
    decoder: null,
    model: {
      type: 'WordLevel',
      vocab: Object.fromEntries(vocabulary(kind, concepts).map((word, id) => [word, id])),
      unk_token: '<unk>',
    },
  };
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...(kind === 'opt' ? { bos_token: '</s>' } : {}),
    eos_token: '</s>',
    pad_token: '<pad>',
    unk_token: '<unk>',
    padding_side: kind === 'opt' ? 'left' : 'right',
    clean_up_tokenization_spaces: false,
  };
  await mkdir(folder, { recursive: true });
  for (const [name, content] of Object.entries({ tokenizer, tokenizer_config: config })) {
    await writeFile(path.join(folder, `${name}.json`), `${JSON.stringify(content, null, 2)}\n`);
  }
  return Tokenizer.fromPretrained(folder);
}
