import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Blip2Processor, ImageProcessor, Tokenizer } from 'blip2';
import type { Concept } from './concepts.ts';
import { article, colourNames, placeNames, SIDE, sizeNames } from './scene.ts';

/** What every description starts from: the paper's prompt for captions. */
export const PROMPT = 'a photo of';

/** Ids of the special tokens, in the order that OPT has them, and of the token that stands for one query. */
export const special = { start: 0, pad: 1, end: 2, unknown: 3, image: 4 } as const;
const SPECIAL = ['<s>', '<pad>', '</s>', '<unk>', '<image>'] as const;

/** Every token, by id: the special ones, then each word that a caption of these concepts can have. */
export function vocabulary(concepts: readonly Concept[]): string[] {
  return [...SPECIAL, ...new Set([...PROMPT.split(' '), ...captionWords(concepts)])];
}

/** Each word that a caption of these concepts can have. */
export function captionWords(concepts: readonly Concept[]): string[] {
  const said = ['in the on background', ...[...sizeNames, ...placeNames, ...colourNames].map(withArticle)];
  return [...new Set([...said.join(' ').split(' '), ...concepts.map(({ word }) => word)])];
}

function withArticle(words: string): string {
  return `${article(words)} ${words}`;
}

/**
 * Writes and reads back what turns pictures and text into a model's input, in Hugging Face's files: a tokenizer of whole words that puts
 * `</s>` in front, as OPT's does, and the size of the pictures.
 */
export async function makeProcessor(folder: string, concepts: readonly Concept[], queries: number): Promise<Blip2Processor> {
  const [, pad, end, unknown] = SPECIAL;
  const first = { SpecialToken: { id: end, type_id: 0 } };
  const sequence = (id: string) => ({ Sequence: { id, type_id: 0 } });
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL.map((content, id) => ({ id, content, ...flags })),
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'WhitespaceSplit' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [first, sequence('A')],
      pair: [first, sequence('A'), sequence('B')],
      special_tokens: { [end]: { id: end, ids: [special.end], tokens: [end] } },
    },
    decoder: null,
    model: {
      type: 'WordLevel',
      vocab: Object.fromEntries(vocabulary(concepts).map((word, id) => [word, id])),
      unk_token: unknown,
    },
  };
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: end,
    eos_token: end,
    pad_token: pad,
    unk_token: unknown,
    padding_side: 'left',
    clean_up_tokenization_spaces: false,
  };
  await mkdir(folder, { recursive: true });
  for (const [name, content] of Object.entries({ tokenizer, tokenizer_config: config })) {
    await writeFile(path.join(folder, `${name}.json`), JSON.stringify(content, null, 2));
  }
  const images = new ImageProcessor({ size: { height: SIDE, width: SIDE } });
  const processor = new Blip2Processor(images, Tokenizer.fromPretrained(folder), queries);
  processor.savePretrained(folder);
  return processor;
}
