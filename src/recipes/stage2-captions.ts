import { ArgumentError } from '../native/errors.ts';
import type { PromptedText } from '../objectives/index.ts';
import { type Generator, rand, scope } from '../tensor/index.ts';
import type { CaptionTokenizer } from './captioned-batch.ts';
import type { PrefixSplit, Stage2Recipe } from './stage2.ts';

/** Makes of captions what a language model is given, and what it is to write, as token ids. */
export interface CaptionTexts {
  of(captions: readonly string[]): PromptedText[];
}

/**
 * @param decoderOnly whether text goes on from the prompt itself; else an encoder reads the prompt, and a decoder writes
 * @param splits draws where captions are divided
 * @throws ArgumentError for a prompt that leaves no room for captions
 */
export function captionTexts(
  text: Stage2Recipe['text'],
  decoderOnly: boolean,
  tokenizer: CaptionTokenizer,
  splits: Generator,
): CaptionTexts {
  const { maxLength } = text;
  const encode = (texts: readonly string[]): number[][] => {
    const { inputIds, attentionMask } = tokenizer.encode(texts, { padding: 'longest', truncation: true, maxLength });
    return inputIds.map((row, i) => row.filter((_, j) => attentionMask[i]?.[j] === 1));
  };
  return decoderOnly ? continued(text, encode) : divided(text, encode, splits);
}

type Encode = (texts: readonly string[]) => number[][];

/** Prompt and caption in one text; the first tokens, as many as the prompt has by itself, are no targets. */
function continued({ prompt, end, maxLength }: Stage2Recipe['text'], encode: Encode): CaptionTexts {
  const given = prompt === '' ? 0 : (encode([prompt])[0] as number[]).length;
  if (given >= maxLength)
    throw new ArgumentError('recipe.text.prompt', `fewer tokens than maxLength (${maxLength})`, String(given));
  return {
    of: (captions) =>
      encode(captions.map((caption) => joined(prompt, caption) + end)).map((row) => {
        const first = Math.min(given, row.length - 1);
        return { prompt: row.slice(0, first), target: row.slice(first) };
      }),
  };
}

/** Prompt and prefix for the encoder, the rest for the decoder. */
function divided({ prompt, end, split }: Stage2Recipe['text'], encode: Encode, splits: Generator): CaptionTexts {
  return {
    of(captions) {
      const parts = split === null ? captions.map((caption) => ['', caption] as const) : dividedBy(split, captions, splits);
      const prompts = encode(parts.map(([prefix]) => joined(prompt, prefix)));
      const targets = encode(parts.map(([, suffix]) => suffix + end));
      return parts.map((_, i) => ({ prompt: prompts[i] as number[], target: targets[i] as number[] }));
    },
  };
}

/** Prefix and suffix of each caption. */
function dividedBy(split: PrefixSplit, captions: readonly string[], splits: Generator): (readonly [string, string])[] {
  const drawn = scope(() => rand([captions.length], { generator: splits }).toArray() as number[]);
  return captions.map((caption, i) => {
    const words = caption.split(/\s+/).filter((word) => word !== '');
    const at = splitPoint(split, words.length, drawn[i] as number);
    return [words.slice(0, at).join(' '), words.slice(at).join(' ')];
  });
}

/** The words of the prefix, of `words` in all; `u` from [0, 1). See {@link PrefixSplit}. */
export function splitPoint({ minPrefix, maxPrefix, minSuffix }: PrefixSplit, words: number, u: number): number {
  const most = Math.max(0, Math.min(words - minSuffix, maxPrefix ?? Infinity));
  const least = Math.min(minPrefix, most);
  return least + Math.floor(u * (most - least + 1));
}

/** One space between them, however the prompt ends. */
function joined(prompt: string, caption: string): string {
  return prompt === '' ? caption : `${prompt.trimEnd()} ${caption}`.trimEnd();
}
