import * as library from '@huggingface/tokenizers';
import type { Json } from '../../native/files.ts';
import { alignWithReference } from './reference.ts';

/** What is used of `@huggingface/tokenizers`' Tokenizer. Its own declarations import without extensions, so that Node's resolution loses them. */
export interface Engine {
  readonly post_processor: { post_process(tokens: string[], pair: null, addSpecialTokens: boolean): { tokens: string[] } } | null;
  encode(text: string, options: { add_special_tokens: boolean }): { ids: (number | undefined)[] };
  decode(ids: number[], options: { clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
}

const { Tokenizer } = library as unknown as { Tokenizer: new (definition: Json, config: Json) => Engine };

/**
 * The tokenizer that a definition, in the form of `tokenizer.json`, describes. The library takes a model of whole words for one of its
 * older kinds, which looks for the unknown token in the configuration.
 */
export function makeEngine(definition: { readonly [key: string]: Json }, unknownToken: string | undefined): Engine {
  return new Tokenizer(alignWithReference(definition), unknownToken === undefined ? {} : { unk_token: unknownToken });
}
