import type { Json } from '../../native/files.ts';

type JsonObject = { readonly [key: string]: Json };

/**
 * Rewrites the parts of a tokenizer's definition that `@huggingface/tokenizers` reads otherwise than the reference implementation does:
 * white space (JavaScript's `\s` has U+FEFF and lacks U+0085; in the library's `Regex` patterns it is Unicode's), the final sigma (lowered by
 * its context in JavaScript alone), and ideographs beyond U+FFFF (not set apart).
 */
export function alignWithReference(definition: JsonObject): JsonObject {
  const { normalizer = null, pre_tokenizer = null } = definition;
  return { ...definition, normalizer: alignNormalizer(normalizer), pre_tokenizer: alignPreTokenizer(pre_tokenizer) };
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const replace = (pattern: Json, content: string): Json => ({ type: 'Replace', pattern, content });

const SIGMA = replace({ String: 'Σ' }, 'σ');

const IDEOGRAPHS = '[\\x{20000}-\\x{2A6DF}\\x{2A700}-\\x{2B73F}\\x{2B740}-\\x{2B81F}\\x{2B920}-\\x{2CEAF}\\x{2F800}-\\x{2FA1F}]';
const SET_APART = replace({ Regex: IDEOGRAPHS }, ' $& ');

function alignNormalizer(normalizer: Json): Json {
  if (!isObject(normalizer)) return normalizer;
  const { type, normalizers } = normalizer;
  if (type === 'Sequence' && Array.isArray(normalizers)) return { ...normalizer, normalizers: normalizers.map(alignNormalizer) };
  const before: Json[] = [];
  if (type === 'Lowercase' || (type === 'BertNormalizer' && normalizer.lowercase === true)) before.push(SIGMA);
  if (type === 'BertNormalizer' && normalizer.handle_chinese_chars === true) before.push(SET_APART);
  return before.length === 0 ? normalizer : { type: 'Sequence', normalizers: [...before, normalizer] };
}

/** GPT-2's pattern of words. */
const WORDS = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

function alignPreTokenizer(preTokenizer: Json): Json {
  if (!isObject(preTokenizer)) return preTokenizer;
  const { type, pretokenizers } = preTokenizer;
  if (type === 'Sequence' && Array.isArray(pretokenizers)) {
    return { ...preTokenizer, pretokenizers: pretokenizers.map(alignPreTokenizer) };
  }
  if (type === 'WhitespaceSplit') return { type: 'Split', pattern: { Regex: '\\s+' }, behavior: 'Removed', invert: false };
  if (type === 'ByteLevel' && preTokenizer.use_regex !== false && preTokenizer.add_prefix_space !== true) {
    const words: Json = { type: 'Split', pattern: { Regex: WORDS }, behavior: 'Isolated', invert: false };
    return { type: 'Sequence', pretokenizers: [words, { ...preTokenizer, use_regex: false }] };
  }
  return preTokenizer;
}
