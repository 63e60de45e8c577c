import fs from 'node:fs';
import path from 'node:path';
import { checkThere } from '../../hub/place.ts';
import { FileError } from '../../native/errors.ts';
import { type Json, readBytes, readJsonObject } from '../../native/files.ts';
import { FileFields } from '../fields.ts';
import { sentencePieceUnigram } from './sentence-piece.ts';
import { namedToken, specialToken } from './special-tokens.ts';
import { type TokenId, template } from './template.ts';

/** A tokenizer as its files describe it: `tokenizer.json`'s content, and the fields of `tokenizer_config.json`. */
export interface TokenizerFiles {
  /** What errors name. */
  readonly file: string;
  readonly definition: { readonly [key: string]: Json };
  readonly config: FileFields;
}

type Definition = TokenizerFiles['definition'];

/** A tokenizer file has at most so many bytes; the largest known ones have a third of it. */
const MAX_BYTES = 2 ** 26;

/**
 * Finds a folder's tokenizer: `tokenizer.json`, else `vocab.json` with `merges.txt` (GPT-2's byte-level BPE, as OPT has it), else `vocab.txt`
 * (BERT's WordPiece), else `spiece.model` (SentencePiece's Unigram, as T5 has it); beside them `tokenizer_config.json` and, of older checkpoints, `special_tokens_map.json`.
 */
export function readTokenizerFiles(folder: string): TokenizerFiles {
  checkThere(folder);
  const at = (name: string): string => path.join(folder, name);
  const optional = (name: string): { readonly [key: string]: Json } => (fs.existsSync(at(name)) ? readJsonObject(at(name)) : {});
  const config = new FileFields(at('tokenizer_config.json'), {
    ...optional('special_tokens_map.json'),
    ...optional('tokenizer_config.json'),
  });
  if (fs.existsSync(at('tokenizer.json'))) {
    return { file: at('tokenizer.json'), definition: readJsonObject(at('tokenizer.json'), MAX_BYTES), config };
  }
  if (fs.existsSync(at('vocab.json'))) {
    const vocab = readJsonObject(at('vocab.json'), MAX_BYTES);
    const named = withOptTokens(config, vocab);
    return { file: at('vocab.json'), definition: byteLevelBpe(vocab, readMerges(at('merges.txt')), named), config: named };
  }
  if (fs.existsSync(at('vocab.txt'))) {
    return { file: at('vocab.txt'), definition: bertWordPiece(readLines(at('vocab.txt')), config), config };
  }
  if (fs.existsSync(at('spiece.model'))) {
    const definition = sentencePieceUnigram(at('spiece.model'), MAX_BYTES, config);
    return { file: at('spiece.model'), definition, config };
  }
  throw new FileError(
    folder,
    'expected tokenizer.json, or vocab.json with merges.txt, or vocab.txt, or spiece.model in the folder',
  );
}

function readLines(file: string): string[] {
  const bytes = readBytes(file, MAX_BYTES);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).split(/\r?\n/);
  } catch (error) {
    throw new FileError(file, 'expected UTF-8 text', { cause: error });
  }
}

function readMerges(file: string): Json {
  return readLines(file)
    .filter((line, i) => line !== '' && !(i === 0 && line.startsWith('#version')))
    .map((line) => {
      const pair = line.split(' ');
      if (pair.length !== 2)
        throw new FileError(file, `expected two tokens a line but received ${JSON.stringify(line.slice(0, 80))}`);
      return pair;
    });
}

/** Those of the tokens that the vocabulary has; its ids are checked later, with all the rest. */
function present(vocab: Definition, tokens: readonly string[]): TokenId[] {
  return [...new Set(tokens)].filter((token) => Object.hasOwn(vocab, token)).map((token) => [token, vocab[token] as number]);
}

const added = (tokens: readonly TokenId[]): Json[] => tokens.map(([content, id]) => specialToken(content, id));

/** OPT's special tokens, where its configuration does not name others. */
const OPT_TOKENS: Readonly<Record<string, string>> = {
  bos_token: '</s>',
  eos_token: '</s>',
  unk_token: '</s>',
  pad_token: '<pad>',
};

/** A configuration that names all of {@link OPT_TOKENS} that the vocabulary has. */
function withOptTokens(config: FileFields, vocab: Definition): FileFields {
  const unnamed = Object.entries(OPT_TOKENS).filter(
    ([name, token]) => namedToken(config, name) === undefined && Object.hasOwn(vocab, token),
  );
  return new FileFields(config.file, { ...config.toJSON(), ...Object.fromEntries(unnamed) });
}

function byteLevelBpe(vocab: Definition, merges: Json, config: FileFields): Definition {
  const tokens = Object.keys(OPT_TOKENS).map((name) => namedToken(config, name) ?? (OPT_TOKENS[name] as string));
  const bos = tokens[0] as string;
  return {
    added_tokens: added(present(vocab, tokens)),
    normalizer: null,
    pre_tokenizer: {
      type: 'ByteLevel',
      add_prefix_space: config.flag('add_prefix_space', false),
      trim_offsets: true,
      use_regex: true,
    },
    post_processor: config.flag('add_bos_token', true) ? template(present(vocab, [bos]), []) : null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', vocab, merges, unk_token: null },
  };
}

function bertWordPiece(lines: readonly string[], config: FileFields): Definition {
  const vocab: Record<string, number> = Object.create(null);
  const last = lines.at(-1) === '' ? lines.length - 1 : lines.length;
  for (let id = 0; id < last; id++) vocab[lines[id] as string] = id;
  const named = (name: string, otherwise: string): string => namedToken(config, name) ?? otherwise;
  const [cls, sep, unk] = [named('cls_token', '[CLS]'), named('sep_token', '[SEP]'), named('unk_token', '[UNK]')];
  const tokens = [named('pad_token', '[PAD]'), unk, cls, sep, named('mask_token', '[MASK]')];
  return {
    added_tokens: added(present(vocab, tokens)),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: config.flag('tokenize_chinese_chars', true),
      strip_accents: config.raw('strip_accents') === undefined ? null : config.flag('strip_accents', true),
      lowercase: config.flag('do_lower_case', true),
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: template(present(vocab, [cls]), present(vocab, [sep])),
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: { type: 'WordPiece', vocab, unk_token: unk, continuing_subword_prefix: '##', max_input_chars_per_word: 100 },
  };
}
