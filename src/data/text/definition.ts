import { FileError } from '../../native/errors.ts';
import type { Json } from '../../native/files.ts';
import type { FileFields } from '../fields.ts';
import type { TokenizerFiles } from './files.ts';
import { namedToken, specialToken } from './special-tokens.ts';
import { type TokenId, template } from './template.ts';

/** A token that text is split at before anything else. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/** The tokens that configurations name. */
export const TOKEN_NAMES = ['bos', 'eos', 'pad', 'unk', 'cls', 'sep', 'mask'] as const;
/** A special token by the field of `tokenizer_config.json` that names it. */
export type TokenName = (typeof TOKEN_NAMES)[number];

/** Ids beyond this cannot be told from damage: vocabularies have well below a million tokens. */
const MAX_ID = 2 ** 24;

const MODELS = ['BPE', 'WordPiece', 'WordLevel', 'Unigram'] as const;
export type ModelKind = (typeof MODELS)[number];

/** A tokenizer's definition, checked, with the special tokens that its configuration names added. */
export interface Definition {
  readonly model: ModelKind;
  readonly vocab: ReadonlyMap<string, number>;
  readonly added: readonly AddedToken[];
  readonly unknownToken: string | undefined;
  /** The content for `@huggingface/tokenizers`. */
  readonly json: { readonly [key: string]: Json };
}

/**
 * Checks what the library that reads it takes on trust, and adds tokens as Hugging Face's does: those that the configuration names
 * become special, as do `extra` ones, with the next free id where the vocabulary does not have them.
 */
export function checkDefinition({ file, definition, config }: TokenizerFiles, extra: readonly string[] = []): Definition {
  const fail = (field: string, problem: string): never => {
    throw new FileError(file, `${field}: ${problem}`);
  };
  const model = definition.model;
  if (!isObject(model)) return fail('model', 'expected an object');
  const kind = MODELS.find((name) => name === kindOf(model)) ?? fail('model.type', `expected one of ${MODELS.join(', ')}`);
  const vocab = kind === 'Unigram' ? unigramVocab(model, fail) : checkVocab(model.vocab, fail);
  if (kind === 'BPE') checkMerges(model.merges, fail);
  const added = readAdded(definition.added_tokens ?? [], fail);
  const wanted = [...namedTokens(config).values(), ...extraTokens(config), ...extra];
  const known = new Map(added.map((token) => [token.content, token]));
  const objects = [...((definition.added_tokens as readonly Json[] | undefined) ?? [])];
  for (const content of new Set(wanted)) {
    if (known.has(content)) continue;
    const token = { id: vocab.get(content) ?? nextId(vocab, known), content, special: true };
    known.set(content, token);
    objects.push(specialToken(content, token.id));
  }
  const post = bosAndEos(config, known) ?? definition.post_processor ?? null;
  const { normalizer = null, pre_tokenizer = null, decoder = null } = definition;
  const json = {
    added_tokens: objects,
    normalizer,
    pre_tokenizer,
    post_processor: post,
    decoder,
    model: { ...model, type: kind },
  };
  const unknownToken = typeof model.unk_token === 'string' ? model.unk_token : undefined;
  return { model: kind, vocab, added: [...known.values()], unknownToken, json };
}

type Fail = (field: string, problem: string) => never;
type JsonObject = { readonly [key: string]: Json };

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isId(value: Json | undefined): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < MAX_ID;
}

// Older files do not say what their model is.
function kindOf(model: JsonObject): Json | undefined {
  if (model.type !== undefined) return model.type;
  if (Array.isArray(model.vocab)) return 'Unigram';
  return model.merges === undefined ? 'WordPiece' : 'BPE';
}

function checkVocab(vocab: Json | undefined, fail: Fail): Map<string, number> {
  if (!isObject(vocab)) return fail('model.vocab', 'expected an object of ids');
  const entries = Object.entries(vocab);
  const bad = entries.find(([, id]) => !isId(id));
  if (bad !== undefined) fail(`model.vocab.${JSON.stringify(bad[0].slice(0, 80))}`, `expected an id below ${MAX_ID}`);
  return new Map(entries as [string, number][]);
}

function unigramVocab(model: JsonObject, fail: Fail): Map<string, number> {
  const { vocab, unk_id: unk } = model;
  if (!Array.isArray(vocab) || vocab.length === 0 || vocab.length > MAX_ID)
    return fail('model.vocab', 'expected a list of tokens');
  const ids = new Map<string, number>();
  for (const [id, entry] of (vocab as readonly Json[]).entries()) {
    if (!Array.isArray(entry) || typeof entry[0] !== 'string' || typeof entry[1] !== 'number')
      fail(`model.vocab[${id}]`, 'expected [token, score]');
    ids.set((entry as readonly Json[])[0] as string, id);
  }
  if (!isId(unk) || unk >= vocab.length) fail('model.unk_id', 'expected an id of the vocabulary');
  return ids;
}

function checkMerges(merges: Json | undefined, fail: Fail): void {
  if (!Array.isArray(merges)) fail('model.merges', 'expected a list of pairs');
  const list = merges as readonly Json[];
  const isPair = (merge: Json): boolean =>
    typeof merge === 'string'
      ? typeof list[0] === 'string' && merge.split(' ').length === 2
      : Array.isArray(merge) && Array.isArray(list[0]) && merge.length === 2 && merge.every((part) => typeof part === 'string');
  const bad = list.findIndex((merge) => !isPair(merge));
  if (bad >= 0) fail(`model.merges[${bad}]`, 'expected two tokens');
}

function readAdded(tokens: Json, fail: Fail): AddedToken[] {
  if (!Array.isArray(tokens)) return fail('added_tokens', 'expected a list');
  return (tokens as readonly Json[]).map((token, i) => {
    if (!isObject(token) || !isId(token.id) || typeof token.content !== 'string' || token.content === '') {
      return fail(`added_tokens[${i}]`, 'expected an object with id and content');
    }
    return { id: token.id, content: token.content, special: token.special === true };
  });
}

// As the reference implementation numbers a new token.
function nextId(vocab: ReadonlyMap<string, number>, known: ReadonlyMap<string, AddedToken>): number {
  let next = vocab.size;
  for (const { id } of known.values()) next = Math.max(next, id + 1);
  return next;
}

/** The tokens that a configuration names, by what they are for. */
export function namedTokens(config: FileFields): Map<TokenName, string> {
  const named = TOKEN_NAMES.map((name) => [name, namedToken(config, `${name}_token`)] as const);
  return new Map(named.filter((entry): entry is [TokenName, string] => entry[1] !== undefined));
}

function extraTokens(config: FileFields): string[] {
  return ['additional_special_tokens', 'extra_special_tokens'].flatMap((name) => {
    const list = config.raw(name);
    return Array.isArray(list) ? list.filter((token): token is string => typeof token === 'string' && token !== '') : [];
  });
}

/** The post-processor that `add_bos_token` and `add_eos_token` ask for, where the configuration has either. */
function bosAndEos(config: FileFields, known: ReadonlyMap<string, AddedToken>): Json | undefined {
  if (config.raw('add_bos_token') === undefined && config.raw('add_eos_token') === undefined) return undefined;
  const named = namedTokens(config);
  const wanted = (name: 'bos' | 'eos'): TokenId[] => {
    const token = config.flag(`add_${name}_token`, false) ? known.get(named.get(name) ?? '') : undefined;
    return token === undefined ? [] : [[token.content, token.id]];
  };
  return template(wanted('bos'), wanted('eos'));
}
