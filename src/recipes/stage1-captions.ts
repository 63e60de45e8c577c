import type { Generated, GenerateOptions } from '../generate/index.ts';
import type { Blip2ForPretraining } from '../models/index.ts';
import { checkArgument, having } from '../native/arguments.ts';
import { scope, type Tensor } from '../tensor/index.ts';
import type { FrozenEncoder } from '../train/index.ts';
import type { WriteCaptions } from './caption-evaluation.ts';
import { featuresOf } from './captioned-batch.ts';

/** Makes text of token ids; a `Tokenizer` does. */
export interface TextDecoder {
  /** A text a row, without the special tokens. */
  batchDecode(rows: readonly (readonly number[])[], options: { skipSpecialTokens: true }): string[];
}

/** What {@link stage1Captions} writes with: options of `Blip2ForPretraining.generate`, and */
export interface Stage1CaptionOptions extends Omit<GenerateOptions, 'signal' | 'numReturnSequences'> {
  /** BERT's. */
  readonly tokenizer: TextDecoder;
  /** Null, or left out, where batches come with features. */
  readonly encoder?: FrozenEncoder | null | undefined;
}

/**
 * Captions of the first stage's model, by image-grounded text generation: `[DEC]`, then 3 beams and 10 to 30 tokens unless told, as LAVIS has it.
 * @param model in evaluation mode, as trainers put it for evaluations
 */
export function stage1Captions(model: Blip2ForPretraining, options: Stage1CaptionOptions): WriteCaptions {
  checkArgument('model', model, having('generate', 'queryTokens'));
  checkArgument('options', options, having('tokenizer'));
  const { tokenizer, encoder = null, ...generation } = options;
  checkArgument('tokenizer', tokenizer, having('batchDecode'));
  return async ({ pixelValues, imageFeatures, allCaptions }, signal) => {
    const batch = {
      captions: allCaptions.map(([first = '']) => first),
      ...(pixelValues && { pixelValues }),
      ...(imageFeatures && { imageFeatures }),
    };
    const features = scope(() => featuresOf(batch, encoder, model.queryTokens.device));
    try {
      return await captionsOf(model, features, tokenizer, { ...generation, signal });
    } finally {
      if (features !== imageFeatures) features.dispose();
    }
  };
}

/** A caption for each row of features `[B, N, W]`. */
export async function captionsOf(
  model: Blip2ForPretraining,
  imageFeatures: Tensor,
  tokenizer: TextDecoder,
  options: GenerateOptions,
): Promise<string[]> {
  const { sequences, sequencesScores }: Generated = await model.generate({ imageFeatures }, options);
  // Each begins with [DEC], which the tokenizer does not know.
  const rows = scope(() => sequences.toArray() as number[][]).map((row) => row.slice(1));
  sequences.dispose();
  sequencesScores?.dispose();
  return tokenizer.batchDecode(rows, { skipSpecialTokens: true });
}
