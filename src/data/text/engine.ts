import * as library from '@huggingface/tokenizers';
import type { Json } from '../../native/files.ts';
import { Precompiled } from './precompiled.ts';
import { alignWithReference } from './reference.ts';

/** What is used of `@huggingface/tokenizers`' Tokenizer. Its own declarations import without extensions, so that Node's resolution loses them. */
export interface Engine {
  normalizer: Normalizer | null;
  readonly post_processor: { post_process(tokens: string[], pair: null, addSpecialTokens: boolean): { tokens: string[] } } | null;
  encode(text: string, options: { add_special_tokens: boolean }): { ids: (number | undefined)[] };
  decode(ids: number[], options: { clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
}

/** One of the library's: it is called, or, as a part of a sequence, its method is. */
type Normalizer = ((text: string) => string) & { normalizers?: ({ normalize(text: string): string } | null)[] };

const { Tokenizer } = library as unknown as { Tokenizer: new (definition: Json, config: Json) => Engine };

/**
 * The tokenizer that a definition, in the form of `tokenizer.json`, describes. The library takes a model of whole words for one of its
 * older kinds, which looks for the unknown token in the configuration.
 */
export function makeEngine(definition: { readonly [key: string]: Json }, unknownToken: string | undefined): Engine {
  const engine = new Tokenizer(alignWithReference(definition), unknownToken === undefined ? {} : { unk_token: unknownToken });
  applyCharsmaps(engine, definition.normalizer);
  return engine;
}

/** Puts SentencePiece's own tables in the place of what the library takes them all for. */
function applyCharsmaps(engine: Engine, normalizer: Json | undefined): void {
  const own = charsmapOf(normalizer);
  if (own !== undefined) engine.normalizer = (text) => own.normalize(text);
  const parts = isObject(normalizer) && Array.isArray(normalizer.normalizers) ? normalizer.normalizers : [];
  for (const [i, part] of parts.entries()) {
    const made = charsmapOf(part);
    if (made !== undefined && engine.normalizer?.normalizers !== undefined) engine.normalizer.normalizers[i] = made;
  }
}

function charsmapOf(normalizer: Json | undefined): Precompiled | undefined {
  if (!isObject(normalizer) || normalizer.type !== 'Precompiled') return undefined;
  const { precompiled_charsmap: charsmap } = normalizer;
  if (typeof charsmap !== 'string') throw new Error('normalizer.precompiled_charsmap: expected text in base64');
  return new Precompiled(Buffer.from(charsmap, 'base64'));
}

function isObject(value: Json | undefined): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
