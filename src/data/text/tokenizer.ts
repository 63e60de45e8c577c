import path from 'node:path';
import { anArray, anObject, aPath, aString, checkArgument } from '../../native/arguments.ts';
import { ArgumentError, FileError } from '../../native/errors.ts';
import { shown } from '../../native/fields.ts';
import { type Json, reasonOf, writeFileAtomically } from '../../native/files.ts';
import type { FileFields } from '../fields.ts';
import { checkDefinition, type Definition, type ModelKind, namedTokens, type TokenName } from './definition.ts';
import { type Engine, makeEngine } from './engine.ts';
import { readTokenizerFiles, type TokenizerFiles } from './files.ts';
import { TokenBatch } from './token-batch.ts';

/** Options of {@link Tokenizer.encode}, under Hugging Face's names in camelCase. */
export interface EncodeOptions {
  /** To the longest text of the batch (also `true`), to `maxLength`, or not at all, which it is unless told. */
  padding?: boolean | 'longest' | 'max_length';
  /** The configuration's side, or else the right, unless told. */
  paddingSide?: 'left' | 'right';
  /** Cut texts to `maxLength`; unless told, that is done when `maxLength` is given without padding. */
  truncation?: boolean;
  /** In tokens, special ones included, and up to 2²⁰ where rows are padded to it; what the configuration says unless told. */
  maxLength?: number;
  /** The ones that the tokenizer puts around a text, such as [CLS] and [SEP]; true unless told. */
  addSpecialTokens?: boolean;
}

/** Tokens to which rows are padded at most: some configurations give lengths that no row of memory has. */
const LONGEST_PADDING = 2 ** 20;

/** What BERT's and T5's tokenizers call their tokens where their files do not say, as those of `bert-base-uncased` do not. */
const TOKENS: Readonly<Partial<Record<ModelKind, readonly (readonly [TokenName, string])[]>>> = {
  WordPiece: [
    ['pad', '[PAD]'],
    ['unk', '[UNK]'],
    ['cls', '[CLS]'],
    ['sep', '[SEP]'],
    ['mask', '[MASK]'],
  ],
  Unigram: [
    ['pad', '<pad>'],
    ['eos', '</s>'],
    ['unk', '<unk>'],
  ],
};

/** Text to token ids and back, as Hugging Face's tokenizers do it. */
export class Tokenizer {
  readonly #files: TokenizerFiles;
  readonly #definition: Definition;
  readonly #engine: Engine;
  readonly #special: ReadonlySet<number>;
  readonly #before: readonly number[];
  readonly #after: readonly number[];
  readonly #ids: ReadonlyMap<TokenName, number>;

  private constructor(files: TokenizerFiles, extraTokens: readonly string[]) {
    this.#files = files;
    this.#definition = checkDefinition(files, extraTokens);
    this.#engine = understood(files.file, () => makeEngine(this.#definition.json, this.#definition.unknownToken));
    this.#special = new Set(this.#definition.added.filter(({ special }) => special).map(({ id }) => id));
    [this.#before, this.#after] = this.#around();
    const names = new Map([...(TOKENS[this.kind] ?? []), ...namedTokens(files.config)]);
    const named = [...names].map(([name, token]) => [name, this.tokenToId(token)] as const);
    this.#ids = new Map(named.filter((entry): entry is [TokenName, number] => entry[1] !== undefined));
  }

  /**
   * Reads a checkpoint's tokenizer: `tokenizer.json`, else `vocab.json` and `merges.txt` (OPT's byte-level BPE, `</s>` first), else `vocab.txt`
   * (BERT's WordPiece), else `spiece.model` (T5's Unigram, `</s>` last), with `tokenizer_config.json`.
   *
   * @throws FileError when there is none, or it is damaged or of an unknown kind.
   */
  static fromPretrained(folder: string): Tokenizer {
    checkArgument('folder', folder, aPath);
    return new Tokenizer(readTokenizerFiles(folder), []);
  }

  /**
   * Writes `tokenizer.json` and `tokenizer_config.json`, as Hugging Face's libraries read them. Where the configuration names neither class nor special
   * tokens, as of a folder with a vocabulary alone, they are named, since Hugging Face would take another class by the model's kind.
   *
   * @throws FileError when the folder cannot be written.
   */
  savePretrained(folder: string): void {
    checkArgument('folder', folder, aPath);
    const definition = { version: '1.0', truncation: null, padding: null, ...this.#definition.json };
    writeFileAtomically(path.join(folder, 'tokenizer.json'), `${JSON.stringify(definition, null, 2)}\n`);
    writeFileAtomically(path.join(folder, 'tokenizer_config.json'), `${JSON.stringify(this.#namedConfig(), null, 2)}\n`);
  }

  #namedConfig(): { readonly [key: string]: Json } {
    const missing = ([name]: readonly [string, Json]): boolean => this.config.raw(name) === undefined;
    const tokens = [...this.#ids].map(([name, id]) => [`${name}_token`, this.idToToken(id) as string] as const);
    const added = [...tokens, ['tokenizer_class', 'PreTrainedTokenizerFast'] as const].filter(missing);
    const told = Object.entries(this.config.toJSON()).map(([name, value]) => [name, asAddedToken(value)] as const);
    return Object.fromEntries([...told, ...added]);
  }

  /** This tokenizer with a special token more; itself if it has that already. New tokens take the next free id. */
  withSpecialToken(token: string): Tokenizer {
    checkArgument('token', token, aString);
    if (token === '') throw new ArgumentError('token', 'some text', 'none');
    return this.#definition.added.some(({ content }) => content === token) ? this : new Tokenizer(this.#files, [token]);
  }

  /** What kind of model makes tokens of words: byte-pair encoding, WordPiece, whole words or Unigram. */
  get kind(): Definition['model'] {
    return this.#definition.model;
  }

  /** @internal `tokenizer_config.json`. */
  get config(): FileFields {
    return this.#files.config;
  }

  /** The number of tokens, added ones included. */
  get vocabSize(): number {
    const { vocab, added } = this.#definition;
    return vocab.size + added.filter(({ content }) => !vocab.has(content)).length;
  }

  /** The id of a special token by its name, such as `'pad'`; undefined where the configuration names none. */
  specialId(name: TokenName): number | undefined {
    return this.#ids.get(name);
  }
  /** The token that begins a text (`</s>` for OPT); undefined where the configuration names none. */
  get bosTokenId(): number | undefined {
    return this.specialId('bos');
  }
  /** The token that ends a text; undefined where the configuration names none. */
  get eosTokenId(): number | undefined {
    return this.specialId('eos');
  }
  /** What rows are filled up with; undefined where the configuration names none. */
  get padTokenId(): number | undefined {
    return this.specialId('pad');
  }

  /** The side that the configuration pads on; undefined where it says none. */
  get paddingSide(): 'left' | 'right' | undefined {
    return this.#side('padding_side');
  }

  /** The ids that `skipSpecialTokens` leaves out. */
  get specialIds(): ReadonlySet<number> {
    return this.#special;
  }

  /** A token's id; undefined where the vocabulary has no such token. */
  tokenToId(token: string): number | undefined {
    return this.#engine.token_to_id(token);
  }
  /** The token of an id, as the vocabulary writes it (`Ġdog`, `##ing`); undefined for an id that is none. */
  idToToken(id: number): string | undefined {
    return this.#engine.id_to_token(id);
  }

  /**
   * Token ids of one text or several, with their attention mask (1 for tokens, 0 for padding).
   *
   * @throws ArgumentError when padding or truncation cannot be done as asked.
   */
  encode(texts: string | readonly string[], options: EncodeOptions = {}): TokenBatch {
    const list = typeof texts === 'string' ? [texts] : texts;
    if (!Array.isArray(list)) throw new ArgumentError('texts', 'a string or a list of strings', shown(list));
    checkEncodeOptions(options);
    for (const [i, text] of list.entries()) {
      if (typeof text !== 'string') throw new ArgumentError(`texts[${i}]`, 'a string', typeof text);
    }
    const { addSpecialTokens = true, padding = false, maxLength } = options;
    const { truncation = maxLength !== undefined && padding === false } = options;
    const around = addSpecialTokens ? ([this.#before, this.#after] as const) : ([[], []] as const);
    const most =
      truncation || padding === 'max_length' ? this.#maxLength(maxLength, truncation, around.flat().length) : undefined;
    const rows = list.map((text) => {
      const ids = this.#split(text);
      return [...around[0], ...(truncation ? this.#cut(ids, (most as number) - around.flat().length) : ids), ...around[1]];
    });
    const mask = rows.map((row) => row.map(() => 1));
    if (padding === false) return new TokenBatch(rows, mask);
    if (padding === 'max_length' && (most as number) > LONGEST_PADDING) {
      throw new ArgumentError('maxLength', `at most ${LONGEST_PADDING} where rows are padded to it`, String(most));
    }
    const length = padding === 'max_length' ? (most as number) : rows.reduce((longest, row) => Math.max(longest, row.length), 0);
    return this.#pad(rows, mask, length, options.paddingSide ?? this.paddingSide ?? 'right');
  }

  /** The text of token ids; ids that are no tokens are left out, special tokens if told so. */
  decode(ids: readonly number[], options: { skipSpecialTokens?: boolean } = {}): string {
    checkArgument('ids', ids, anArray);
    checkArgument('options', options, anObject);
    const { skipSpecialTokens = false } = options;
    const kept = ids.filter((id) => this.idToToken(id) !== undefined && !(skipSpecialTokens && this.#special.has(id)));
    if (kept.length === 0) return '';
    // What the clean-up does to spaces before punctuation is meant for WordPiece, and corrupts what BPE encoded.
    const clean = this.kind !== 'BPE' && this.config.flag('clean_up_tokenization_spaces', false);
    return understood(this.#files.file, () => this.#engine.decode(kept, { clean_up_tokenization_spaces: clean }));
  }

  /** The texts of several rows of ids. */
  batchDecode(rows: readonly (readonly number[])[], options: { skipSpecialTokens?: boolean } = {}): string[] {
    checkArgument('rows', rows, anArray);
    return rows.map((row) => this.decode(row, options));
  }

  #split(text: string): number[] {
    const { ids } = understood(this.#files.file, () => this.#engine.encode(text, { add_special_tokens: false }));
    if (ids.includes(undefined)) throw new FileError(this.#files.file, 'has no token for unknown text, and the text needs one');
    return ids as number[];
  }

  #cut(ids: number[], length: number): readonly number[] {
    if (ids.length <= length) return ids;
    return this.#side('truncation_side') === 'left' ? ids.slice(ids.length - length) : ids.slice(0, length);
  }

  #pad(rows: number[][], mask: number[][], length: number, side: 'left' | 'right'): TokenBatch {
    const pad = this.padTokenId;
    if (pad === undefined) throw new ArgumentError('padding', 'false, for a tokenizer without a padding token', 'padding');
    const fill = (row: number[], value: number): number[] => {
      const padding = Array<number>(Math.max(length - row.length, 0)).fill(value);
      return side === 'left' ? [...padding, ...row] : [...row, ...padding];
    };
    return new TokenBatch(
      rows.map((row) => fill(row, pad)),
      mask.map((row) => fill(row, 0)),
    );
  }

  #maxLength(given: number | undefined, truncation: boolean, around: number): number {
    const length = given ?? this.config.raw('model_max_length');
    const least = truncation ? around : 0;
    // What has no limit says 10³⁰.
    if (typeof length !== 'number' || !Number.isSafeInteger(length) || length < least) {
      throw new ArgumentError('maxLength', `a whole number from ${least}`, given === undefined ? 'none' : String(given));
    }
    return length;
  }

  #side(name: 'padding_side' | 'truncation_side'): 'left' | 'right' | undefined {
    const side = this.config.text(name);
    if (side !== undefined && side !== 'left' && side !== 'right') throw this.config.refusal(name, 'left or right');
    return side;
  }

  /** The special tokens before and after a text. */
  #around(): [number[], number[]] {
    const processor = this.#engine.post_processor;
    if (processor === null) return [[], []];
    const text = 'text';
    const { tokens } = understood(this.#files.file, () => processor.post_process([text], null, true));
    const at = tokens.indexOf(text);
    const ids = tokens.map((token) => this.tokenToId(token));
    if (at < 0 || ids.some((id, i) => id === undefined && i !== at)) {
      throw new FileError(this.#files.file, 'post_processor: expected one text among tokens of the vocabulary');
    }
    return [ids.slice(0, at) as number[], ids.slice(at + 1) as number[]];
  }
}

const ENCODE_OPTIONS: {
  readonly [option in keyof Required<EncodeOptions>]: readonly [expected: string, fits: (value: unknown) => boolean];
} = {
  padding: [
    'true, false, "longest" or "max_length"',
    (value) => typeof value === 'boolean' || value === 'longest' || value === 'max_length',
  ],
  paddingSide: ['"left" or "right"', (value) => value === 'left' || value === 'right'],
  truncation: ['true or false', (value) => typeof value === 'boolean'],
  maxLength: ['a whole number from 0', (value) => Number.isSafeInteger(value) && (value as number) >= 0],
  addSpecialTokens: ['true or false', (value) => typeof value === 'boolean'],
};

/** @throws ArgumentError naming the option that there is not, or that is not as expected */
export function checkEncodeOptions(options: EncodeOptions): void {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', shown(options));
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(ENCODE_OPTIONS, name)) throw new ArgumentError(name, 'an option of encode', 'another one');
    const [expected, fits] = ENCODE_OPTIONS[name as keyof EncodeOptions];
    if (value !== undefined && !fits(value)) throw new ArgumentError(name, expected, shown(value));
  }
}

/** A special token as this file has it: special_tokens_map.json, which goes into it, leaves out what kind of object it is, and Hugging Face refuses it then. */
function asAddedToken(value: Json): Json {
  if (Array.isArray(value)) return value.map(asAddedToken);
  const isToken = typeof value === 'object' && value !== null && 'content' in value && 'single_word' in value;
  return isToken ? { ...value, __type: 'AddedToken' } : value;
}

/** Runs what reads the definition; the library's own errors say nothing of files. */
function understood<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new FileError(file, `is no tokenizer that is understood: ${reasonOf(error)}`, { cause: error });
  }
}
