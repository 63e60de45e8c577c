// B batch, L length of the embedded input, T length of the labels, E width of the language model, V vocabulary.
import type { Rewindable } from '../../../generate/index.ts';
import type { Module } from '../../../nn/index.ts';
import type { Tensor, TensorFile } from '../../../tensor/index.ts';
import type { JsonObject } from '../../fields.ts';

/** What the configuration of any language model tells. */
export interface LanguageConfig {
  /** Which kind it is, `'opt'` for one: `model_type` of config.json. */
  readonly modelType: string;
  /** V, words of the output table. */
  readonly vocabSize: number;
  /** What fills rows that end early. */
  readonly padTokenId: number | null;
  /** What a prompt of nothing but a picture goes on with. */
  readonly bosTokenId: number | null;
  /** What ends a text, one id or several. */
  readonly eosTokenId: number | readonly number[];
}

/** A pass with the text given (teacher forcing). */
export interface LanguageInputs {
  /** Queries and words, `[B, L, E]`. */
  embedded: Tensor;
  /** `[B, L]`, 0 at padding; null: none. */
  attentionMask: Tensor | null;
  /** `[B, T]`, −100 where there is nothing to learn. Decoder-only: the ids of the last T positions. Encoder-decoder: the text to be written. */
  labels: Tensor | null;
  /** Encoder-decoder: what the decoder is given, `[B, T]`; the labels, moved by one, unless told. */
  decoderInputIds: Tensor | null;
  /** Encoder-decoder: `[B, T]`, 0 at padding of the decoder's input; null: none. */
  decoderAttentionMask: Tensor | null;
}

/** What a pass gives. */
export interface LanguagePass {
  /** What {@link Language.project} makes logits of: decoder-only `[B, L, E]`, with labels of the last T positions; encoder-decoder `[B, T, E]`. */
  hidden: Tensor;
  /** With labels: the token that each position is to predict, `[B, T]`; −100 where there is none. */
  targets: Tensor | null;
}

/** A language model as BLIP-2 uses it, whatever its kind. */
export interface Language {
  /** The output table `[V, E]`. */
  readonly outputWeight: Tensor;
  /** Word embeddings of ids `[…]` → `[…, E]`. */
  embed(inputIds: Tensor): Tensor;
  /** Logits of what {@link pass} gives, `[…, E]` → `[…, V]`. */
  project(hidden: Tensor): Tensor;
  /** @throws ArgumentError where labels or decoder inputs do not fit, or are missing */
  pass(inputs: LanguageInputs): LanguagePass;
  /**
   * Decoding of an embedded prompt `[B, L, E]`.
   * @param attentionMask `[B, L]`, 0 for padding; null: none
   */
  decoding(embedded: Tensor, attentionMask: Tensor | null): Rewindable;
  /** The ids that decoding's results start with, as the prompt's `[B, L]` may or may not be among them. */
  start(inputIds: Tensor): Tensor;
}

/** What a kind has where nobody says otherwise: as in the paper, where it has the kind. */
export interface LanguageDefaults {
  /** What is asked, with the question in the place of `{}` (§4.1). */
  readonly question: string;
  /** Pairs in a step of the second stage (§3.4). */
  readonly batchSize: number;
  /** What stands behind the second stage's captions and ends written text; empty where the tokenizer puts an end token behind every text. */
  readonly captionEnd: string;
}

/** The fields of any one of several configurations. */
type FieldOf<C> = C extends unknown ? keyof C : never;

/** A kind of language model: all that BLIP-2 knows of it. A new kind is one such object in a file of its own, and a line in `registry.ts`. */
export interface LanguageKind<C extends LanguageConfig, M extends Module & { readonly config: C }> {
  /**
   * Whether text goes on from the prompt itself, and prompts of different lengths are padded on the left; else an encoder reads the prompt, padded on the
   * right, and a decoder writes.
   */
  readonly decoderOnly: boolean;
  readonly defaults: LanguageDefaults;
  /** Models that recipes know by a name, which no other kind has: what BLIP-2 runs them with, where it is not the configuration's default. */
  readonly models: Readonly<Record<string, Partial<C>>>;
  /** How BLIP-2's released checkpoints have those: fields that differ, and the id that stands for a query. */
  readonly released?: { readonly textConfig: Partial<C>; readonly imageTokenIndex: number };
  /** Fields that a folder may have otherwise than a recipe, besides special tokens and words: they change no number of a given text, or the weights decide. */
  readonly free: readonly FieldOf<C>[];
  /** Fields that count in training mode alone. */
  readonly dropouts: readonly FieldOf<C>[];
  /**
   * Reads Hugging Face's configuration of it; `path` is the object's name in errors.
   * @throws ArgumentError naming the field that is not as expected
   */
  parseConfig(json: unknown, path?: string): C;
  /** The configuration under Hugging Face's field names. */
  configToJson(config: C): JsonObject;
  /** The fields of generation_config.json that are its own. */
  generationConfig(config: C): JsonObject;
  /**
   * E
   * @throws ArgumentError for a model whose words cannot stand beside queries
   */
  width(config: C): number;
  /** Most tokens of queries, prompt and new text together; null where positions end nowhere. */
  positions(config: C): number | null;
  build(config: C): M;
  language(model: M): Language;
  /** The model's name of a tensor that checkpoints of it alone may have under another one; undefined for any other name. */
  alias(config: C, name: string): string | undefined;
  /** Names, with anything before them, that files carry for nothing. */
  readonly ignored: RegExp;
  /** Parameters, with anything before their names, that a float16 load keeps in float32. */
  readonly float32: RegExp;
  /**
   * The configuration, where the weights tell more than it does.
   * @param prefix what stands before the model's names in the file
   */
  complete?(config: C, file: TensorFile, prefix: string): C;
  /** A folder's configuration with what a wanted shape decides over it: what BLIP-2 runs in another way than the folder says. */
  adapt?(config: C, wanted: C): C;
}
