import { mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Concept } from './concepts.ts';
import { article, colourNames, placeNames, SIDE, sizeNames } from './scene.ts';

/** What every description starts from: the paper's prompt for captions. */
export const PROMPT = 'a photo of';

/** Ids of the special tokens, in the order that OPT has them, and of the token that stands for one query. */
export const special = { start: 0, pad: 1, end: 2, unknown: 3, image: 4 } as const;
const SPECIAL = ['<s>', '<pad>', '</s>', '<unk>', '<image>'] as const;

/** Every token, by id: the special ones, then each word that a caption of these concepts can have. */
export function vocabulary(concepts: readonly Concept[]): string[] {
  const said = [PROMPT, 'in the', 'on', 'background', ...[...sizeNames, ...placeNames, ...colourNames].map(withArticle)];
  const words = new Set([...said.join(' ').split(' '), ...concepts.map(({ word }) => word)]);
  return [...SPECIAL, ...words];
}

function withArticle(words: string): string {
  return `${article(words)} ${words}`;
}

/**
 * Writes what turns pictures and text into a model's input, in Hugging Face's files: a tokenizer of whole words that puts `</s>` in
 * front, as OPT's does, and the size and statistics of the pictures.
 */
export async function writeProcessor(directory: string, concepts: readonly Concept[], queries: number): Promise<void> {
  const [, pad, end, unknown] = SPECIAL;
  const sequence = (id: string) => ({ Sequence: { id, type_id: 0 } });
  const first = { SpecialToken: { id: end, type_id: 0 } };
  await mkdir(directory, { recursive: true });
  await writeJson(path.join(directory, 'tokenizer.json'), {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
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
  });
  await writeJson(path.join(directory, 'tokenizer_config.json'), {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: end,
    eos_token: end,
    pad_token: pad,
    unk_token: unknown,
    padding_side: 'left',
    clean_up_tokenization_spaces: false,
  });
  await writeJson(path.join(directory, 'preprocessor_config.json'), {
    image_processor_type: 'BlipImageProcessor',
    do_convert_rgb: true,
    do_resize: true,
    size: { height: SIDE, width: SIDE },
    resample: 3,
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: [0.48145466, 0.4578275, 0.40821073],
    image_std: [0.26862954, 0.26130258, 0.27577711],
  });
  await writeJson(path.join(directory, 'processor_config.json'), {
    processor_class: 'Blip2Processor',
    num_query_tokens: queries,
  });
}

async function writeJson(file: string, content: unknown): Promise<void> {
  const partial = `${file}.${process.pid}.partial`;
  await writeFile(partial, `${JSON.stringify(content, null, 2)}\n`);
  await rename(partial, file);
}
