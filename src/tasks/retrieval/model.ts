// B pictures, T texts, Q queries a picture, N image tokens, W width of the picture's features, L length of a text, E of the features compared.
import type { CrossKeyValues, MatchImages, MatchOptions } from '../../models/index.ts';
import type { Tensor } from '../../tensor/index.ts';

/** What retrieval needs of a model. `Blip2ForPretraining` and `Blip2ForImageTextRetrieval` are such models. */
export interface RetrievalModel {
  /** Where it is, the model works. */
  readonly queryTokens: Tensor;
  /** Pictures, as the model takes them, → the queries' normalised features `[B, Q, E]` and what matching reads `[B, N, W]`. */
  encodeImages(images: Tensor): { readonly imageEmbeds: Tensor; readonly lastHiddenState: Tensor };
  /** Keys and values of what matching reads. */
  imageKeyValues(features: Tensor): CrossKeyValues;
  /** Ids and mask `[T, L]` → normalised features of the first tokens, `[T, 1, E]`. */
  encodeTexts(inputIds: Tensor, attentionMask: Tensor, options: { classOnly: true }): { readonly textEmbeds: Tensor };
  /** Logits `[T, 2]` of pairs, index 1 for "match". */
  match(images: MatchImages, inputIds: Tensor, attentionMask: undefined, options: MatchOptions): Tensor;
}

/** Makes token ids of texts, with padding on the right; a `Tokenizer` does. */
export interface RetrievalTokenizer {
  /** Ids `[T, L]`, and a mask of the same shape that is 1 at tokens and 0 at padding. */
  encode(
    texts: readonly string[],
    options: { padding: 'longest'; truncation: true; maxLength: number },
  ): { readonly inputIds: readonly (readonly number[])[]; readonly attentionMask: readonly (readonly number[])[] };
}

/** Pictures and their captions; a `Batch` of a `Loader` over a data set that was opened with `grouped` is one. */
export interface GalleryBatch {
  /** Normalised pictures `[B, 3, S, S]`, which the option `encoder` or the model itself encodes; or else */
  readonly pixelValues?: Tensor;
  /** a frozen encoder's features `[B, N, W]`, for a model that takes them. */
  readonly imageFeatures?: Tensor;
  /** All captions of each picture; of one that only stands in the gallery, none. */
  readonly allCaptions: readonly (readonly string[])[];
  /** Is called when the batch has been read. */
  dispose?(): void;
}
