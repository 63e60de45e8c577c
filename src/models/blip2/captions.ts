import { type Generated, type GenerateOptions, generate } from '../../generate/index.ts';
import { anAbortSignal, anObject, checkArgument, having, optional } from '../../native/arguments.ts';
import { full, inferenceMode, keep, scope, type Tensor } from '../../tensor/index.ts';
import { QFormerDecoding } from '../qformer/decode.ts';
import { checkIds, checkInputs } from './inputs.ts';
import type { Blip2ForPretraining } from './pretraining.ts';

/** What captions are written from. B pictures, N image tokens, W width of their features, P prompt length. */
export interface CaptionInputs {
  /** What the frozen encoder gave, before its last LayerNorm, `[B, N, W]`. */
  imageFeatures: Tensor;
  /** `[B, P]` int64: `[DEC]` and the words that each caption is to begin with, without padding. `[DEC]` alone unless given. */
  inputIds?: Tensor | undefined;
}

/** As LAVIS's `Blip2Qformer.generate` has them. */
const DEFAULTS = { numBeams: 3, maxLength: 30, minLength: 10 };

/** See {@link Blip2ForPretraining.generate}. */
export async function generateCaptions(
  model: Blip2ForPretraining,
  inputs: CaptionInputs,
  options: GenerateOptions,
): Promise<Generated> {
  checkArgument('inputs', inputs, having('imageFeatures'));
  checkArgument('options', options, anObject);
  checkArgument('signal', options.signal, optional(anAbortSignal));
  const { imageFeatures, inputIds } = inputs;
  checkInputs(inputs, { imageFeatures: true, inputIds: true });
  if (inputIds !== undefined) checkIds('inputIds', inputIds, imageFeatures.size(0));
  options.signal?.throwIfAborted();
  const { decoderTokenId } = model.config;
  const [decoding, ids] = inferenceMode(() =>
    scope(() => {
      const batch = imageFeatures.size(0);
      const of = { dtype: 'int64', device: model.queryTokens.device } as const;
      const ids = keep(inputIds?.alias() ?? full([batch, 1], decoderTokenId, of));
      return [new QFormerDecoding(model, ids, model.imageKeyValues(imageFeatures)), ids] as const;
    }),
  );
  try {
    return await generate(decoding, { inputIds: ids }, withDefaults(model, options, ids.size(1)));
  } finally {
    ids.dispose();
  }
}

/** What is not told, as far as it goes with what is. */
function withDefaults({ config }: Blip2ForPretraining, options: GenerateOptions, promptLength: number): GenerateOptions {
  const { doSample = false, maxNewTokens, minNewTokens } = options;
  const { numBeams = doSample ? 1 : DEFAULTS.numBeams } = options;
  const { eosTokenId = config.eosTokenId, padTokenId = config.qformerConfig.padTokenId } = options;
  // A prompt may take all of the length by itself, and a small model may not have room for it.
  const positions = config.qformerConfig.maxPositionEmbeddings;
  const { maxLength = Math.min(Math.max(DEFAULTS.maxLength, promptLength + 1), positions) } = options;
  const most = maxNewTokens === undefined ? maxLength : promptLength + maxNewTokens;
  const { minLength = minNewTokens === undefined ? Math.min(DEFAULTS.minLength, most) : 0 } = options;
  return { ...options, numBeams, eosTokenId, padTokenId, maxLength, minLength };
}
