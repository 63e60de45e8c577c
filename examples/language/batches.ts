import { type BatchStream, fromTypedArray, type Tensor, type Tokenizer } from 'blip2';
import type { Concept } from '../emoji/concepts.ts';
import { between, type Random, randomOf } from '../emoji/random.ts';
import type { Pair } from '../emoji/splits.ts';
import { imagine, type Lesson, lesson } from './texts.ts';
import { type LanguageKind, specialId } from './tokenizer.ts';

/** Longest description in tokens, and most places that it is put into. */
const MOST_WORDS = 13;
const MOST_SLOTS = 12;
/** One batch in this many has no descriptions: what is said by one who sees nothing. */
const BLIND = 16;
const IGNORED = -100;

// B lessons; S slots before the text; T words of a description; L tokens that are read; M tokens that are written.

/** Lessons as tensors. The description comes as a blend: slot s holds Σ_t blend[s, t] · embedding(words[t]). */
export interface LanguageBatch {
  /** `[B, T]` int64 */
  readonly words: Tensor;
  /** `[B, S, T]` */
  readonly blend: Tensor;
  /** Standard deviation of the noise in a slot, as a part of what it holds, `[B, 1, 1]`. */
  readonly noise: Tensor;
  /** `[B, L]` int64, padded on the right, and what is no padding. */
  readonly inputIds: Tensor;
  readonly attentionMask: Tensor;
  /** What is to be written: `[B, L]`, the next token at its own place (OPT), or `[B, M]` for the decoder (T5); −100: nothing. */
  readonly labels: Tensor;
}

export interface LessonSource {
  readonly kind: LanguageKind;
  readonly tokenizer: Tokenizer;
  readonly concepts: readonly Concept[];
  /** Pairs that no text tells of. */
  readonly unseen: readonly Pair[];
  readonly seed: number;
  readonly batchSize: number;
}

/** Batches without end; the n-th of a seed is always the same. */
export function lessonStream(source: LessonSource, from: number): BatchStream<LanguageBatch> {
  let index = from;
  return {
    next: async () => ({ value: lessonBatch(source, index++), done: false }),
    state: () => index,
    close: async () => {},
  };
}

export function lessonBatch(source: LessonSource, index: number): LanguageBatch {
  const { kind, concepts, unseen, seed, batchSize } = source;
  const random = randomOf(seed, index);
  const lessons = Array.from({ length: batchSize }, () => lesson(kind, imagine(concepts, unseen, random), concepts, random));
  const slots = random() < 1 / BLIND ? 0 : 4 + Math.floor(random() * (MOST_SLOTS - 3));
  return toBatch(source, lessons, slots, random);
}

/** @param random blends and disturbs the descriptions; null puts each word into a slot of its own and leaves it as it is */
export function toBatch(
  { kind, tokenizer }: Pick<LessonSource, 'kind' | 'tokenizer'>,
  lessons: readonly Lesson[],
  slots: number,
  random: Random | null,
): LanguageBatch {
  const batch = lessons.length;
  const idsOf = (text: string): number[] => [...(tokenizer.encode([text], { addSpecialTokens: false }).inputIds[0] ?? [])];
  const words = new BigInt64Array(batch * MOST_WORDS);
  const blend = new Float32Array(batch * slots * MOST_WORDS);
  const noise = new Float32Array(batch);
  const texts = lessons.map(({ description, pieces }, b) => {
    const ids = idsOf(description.join(' '));
    for (const [t, id] of ids.entries()) words[b * MOST_WORDS + t] = BigInt(id);
    if (slots === 0) return pieceText(kind, pieces, idsOf);
    const own = blend.subarray(b * slots * MOST_WORDS, (b + 1) * slots * MOST_WORDS);
    if (random === null || (ids.length <= slots && random() < 0.3)) for (const t of ids.keys()) own[t * MOST_WORDS + t] = 1;
    else spread(own, slots, ids.length, random);
    if (random !== null) noise[b] = random() < 0.3 ? 0 : between(random, 0, 0.6);
    return pieceText(kind, pieces, idsOf);
  });
  const inputIds = padded(
    texts.map(({ ids }) => ids),
    specialId(kind, '<pad>'),
  );
  return {
    words: fromTypedArray(words, [batch, MOST_WORDS]),
    blend: fromTypedArray(blend, [batch, slots, MOST_WORDS]),
    noise: fromTypedArray(noise, [batch, 1, 1]),
    inputIds,
    attentionMask: padded(
      texts.map(({ ids }) => ids.map(() => 1)),
      0,
    ),
    labels: padded(
      texts.map(({ labels }) => labels),
      IGNORED,
    ),
  };
}

/** Every word into one to three slots, stronger or weaker: soft prompts will not keep to one word a place, either. */
function spread(blend: Float32Array, slots: number, words: number, random: Random): void {
  const gain = Math.exp(between(random, -0.5, 0.5));
  for (let t = 0; t < words; t++) {
    const copies = 1 + Math.floor(random() * 3);
    for (let c = 0; c < copies; c++) blend[Math.floor(random() * slots) * MOST_WORDS + t] = gain * between(random, 0.4, 1.2);
  }
}

type Text = { readonly ids: number[]; readonly labels: number[] };

function pieceText(kind: LanguageKind, pieces: Lesson['pieces'], idsOf: (text: string) => number[]): Text {
  const read = pieces.map(({ text, said }) => ({ ids: idsOf(text), said }));
  return kind === 'opt' ? optText(read) : t5Text(read);
}

interface Read {
  readonly ids: readonly number[];
  readonly said: boolean;
}

/** `</s>`, then all pieces, and `</s>`. Each token has the next as its label where that is said; after an answer the text may end. */
function optText(pieces: readonly Read[]): Text {
  const end = specialId('opt', '</s>');
  const ids = [end, ...pieces.flatMap(({ ids }) => ids)];
  const said = [false, ...pieces.flatMap(({ ids, said }) => ids.map(() => said))];
  const labels = ids.map((_, i) => (said[i + 1] === true ? (ids[i + 1] as number) : said[i] ? end : IGNORED));
  return { ids, labels };
}

/** All pieces but the last, and `</s>`; the last, and `</s>`, is what is written. */
function t5Text(pieces: readonly Read[]): Text {
  const end = specialId('t5', '</s>');
  const last = pieces.at(-1) as Read;
  return { ids: [...pieces.slice(0, -1).flatMap(({ ids }) => ids), end], labels: [...last.ids, end] };
}

function padded(rows: readonly (readonly number[])[], value: number): Tensor {
  const length = Math.max(...rows.map((row) => row.length));
  const ids = new BigInt64Array(rows.length * length).fill(BigInt(value));
  for (const [i, row] of rows.entries()) ids.set(BigInt64Array.from(row, BigInt), i * length);
  return fromTypedArray(ids, [rows.length, length]);
}
