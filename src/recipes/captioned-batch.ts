// B pairs, N image tokens, W width of the picture's features.
import { checkArgument, having } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import type { Device, Tensor } from '../tensor/index.ts';
import type { FrozenEncoder } from '../train/index.ts';

/** Pairs as a loader gives them, or with features from a cache. */
export interface CaptionedBatch {
  /** One for each picture, B. */
  readonly captions: readonly string[];
  /** Normalised pictures `[B, 3, S, S]`, for the encoder; or else */
  readonly pixelValues?: Tensor;
  /** its features, before the LayerNorm that is trained, `[B, N, W]`. */
  readonly imageFeatures?: Tensor;
  /** `[B]` int64: equal where pictures are the same. */
  readonly imageIds?: Tensor;
}

/** For the check of a batch that comes from outside. */
export const CAPTIONED = having('captions');

/** Makes token ids of captions; a `Tokenizer` does. */
export interface CaptionTokenizer {
  /** Rows of ids, as long as the longest, and which of them are no padding (1). */
  encode(
    captions: readonly string[],
    options: { padding: 'longest'; truncation: true; maxLength: number },
  ): { readonly inputIds: readonly (readonly number[])[]; readonly attentionMask: readonly (readonly number[])[] };
}

/**
 * The features `[B, N, W]` of a batch's pictures.
 * @param encoder null where batches come with features
 * @throws ArgumentError where there are neither features nor what makes them
 */
export function featuresOf(batch: CaptionedBatch, encoder: FrozenEncoder | null, device: Device): Tensor {
  checkArgument('batch', batch, CAPTIONED);
  const features = batch.imageFeatures ?? (batch.pixelValues && encoder?.encode(batch.pixelValues));
  if (features === undefined) throw new ArgumentError('batch', 'imageFeatures, or pixelValues and an encoder', 'neither');
  return features.to({ device });
}
