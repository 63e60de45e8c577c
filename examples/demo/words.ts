import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Tokenizer } from 'blip2';
import type { Concept } from '../emoji/concepts.ts';
import { captionWords } from '../emoji/vocabulary.ts';

const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]'] as const;
const DEC = '[DEC]';

/** Every token of the Q-Former, by id: BERT's special ones, each word that a caption of these concepts can have, and `[DEC]`, last. */
export function qformerVocabulary(concepts: readonly Concept[]): string[] {
  return [...SPECIAL, ...captionWords(concepts), DEC];
}

/** The id of one of BERT's special tokens. */
export function specialId(token: (typeof SPECIAL)[number]): number {
  return SPECIAL.indexOf(token);
}

/** Writes and reads back a tokenizer of whole words, in Hugging Face's files, which puts `[CLS]` in front and `[SEP]` at the end. */
export async function makeQFormerTokenizer(folder: string, concepts: readonly Concept[]): Promise<Tokenizer> {
  const vocabulary = qformerVocabulary(concepts);
  const special = (id: '[CLS]' | '[SEP]') => ({ SpecialToken: { id, type_id: 0 } });
  const sequence = (id: string) => ({ Sequence: { id, type_id: 0 } });
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [...SPECIAL, DEC].map((content) => ({ id: vocabulary.indexOf(content), content, ...flags })),
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'WhitespaceSplit' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [special('[CLS]'), sequence('A'), special('[SEP]')],
      pair: [special('[CLS]'), sequence('A'), special('[SEP]'), sequence('B'), special('[SEP]')],
      special_tokens: Object.fromEntries(
        (['[CLS]', '[SEP]'] as const).map((token) => [token, { id: token, ids: [specialId(token)], tokens: [token] }]),
      ),
    },
    decoder: null,
    model: {
      type: 'WordLevel',
      vocab: Object.fromEntries(vocabulary.map((word, id) => [word, id])),
      unk_token: '[UNK]',
    },
  };
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    cls_token: '[CLS]',
    sep_token: '[SEP]',
    pad_token: '[PAD]',
    unk_token: '[UNK]',
    additional_special_tokens: [DEC],
    padding_side: 'right',
    clean_up_tokenization_spaces: false,
  };
  await mkdir(folder, { recursive: true });
  for (const [name, content] of Object.entries({ tokenizer, tokenizer_config: config })) {
    await writeFile(path.join(folder, `${name}.json`), `${JSON.stringify(content, null, 2)}\n`);
  }
  return Tokenizer.fromPretrained(folder);
}
