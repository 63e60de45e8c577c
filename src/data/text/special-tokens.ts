import type { Json } from '../../native/files.ts';
import type { FileFields } from '../fields.ts';

/** A special token as `tokenizer.json` lists it. */
export function specialToken(content: string, id: number): { readonly [key: string]: Json } {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
}

/** A special token under one of the names that configurations use; they write it as text or as an object with `content`. */
export function namedToken(config: FileFields, name: string): string | undefined {
  const value = config.raw(name);
  const content = typeof value === 'object' && value !== null ? config.child(name)?.text('content') : config.text(name);
  if (content === '') throw config.refusal(name, 'a token');
  return content;
}
