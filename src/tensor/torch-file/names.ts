import { quote } from '../tensor-file.ts';
import type { TorchFileError } from './error.ts';
import { Opaque, type Value } from './pickle.ts';
import { StoredView } from './stored.ts';

/** A plain value beside the tensors. */
export type TorchScalar = null | boolean | number | bigint | string;

/** What a file holds, flat: the keys on the way to a value, joined by dots, are its name. */
export interface Contents {
  readonly entries: ReadonlyMap<string, StoredView>;
  readonly scalars: ReadonlyMap<string, TorchScalar>;
}

const MAX_DEPTH = 64;

/** Characters of names, and 16 for each value, that are made at most: shared values can stand for far more than the file's size. */
const MAX_CHARACTERS = 2 ** 24;

/** Names every tensor and plain value in nested dicts, lists and tuples. */
export function nameContents(root: Value, fail: (field: string, problem: string) => TorchFileError): Contents {
  const entries = new Map<string, StoredView>();
  const scalars = new Map<string, TorchScalar>();
  const within: Value[] = [];
  let characters = 0;
  const visit = (value: Value, name: string): void => {
    characters += name.length + 16;
    if (characters > MAX_CHARACTERS) throw fail('pickle', 'stands for more values than a file of its size should');
    if (value instanceof Map || Array.isArray(value)) {
      if (within.includes(value)) throw fail(quote(name), 'contains itself');
      if (within.length === MAX_DEPTH) throw fail(quote(name), `expected values nested at most ${MAX_DEPTH} deep`);
      within.push(value);
      for (const [key, inner] of value.entries()) visit(inner, name === '' ? String(key) : `${name}.${String(key)}`);
      within.pop();
      return;
    }
    if (entries.has(name) || scalars.has(name)) throw fail(quote(name), 'is the name of two values');
    if (value instanceof StoredView) entries.set(name, value);
    else scalars.set(name, value instanceof Opaque ? value.describe() : value);
  };
  visit(root, '');
  return { entries, scalars };
}
