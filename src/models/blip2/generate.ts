import {
  type Continuations,
  type DecidedToken,
  type Generated,
  type GenerateOptions,
  generate,
  type Rewindable,
  type ScoreOptions,
  scoreContinuations,
  streamTokens,
} from '../../generate/index.ts';
import { anAbortSignal, anObject, checkArgument, optional } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { cat, full, inferenceMode, keep, scope, type Tensor } from '../../tensor/index.ts';
import { checkInputs, checkMask, type InputNames } from './inputs.ts';
import type { Blip2ForConditionalGeneration } from './model.ts';

/** What text is generated from. B pictures, Q queries a picture, P prompt length. */
export interface GenerateInputs {
  /** Normalised pictures `[B, 3, H, W]`; needed unless `languageModelInputs` are given. */
  pixelValues?: Tensor | undefined;
  /** What `encodeImages` made of the pictures, `[B, Q, E]`, so that they are encoded once for several texts. */
  languageModelInputs?: Tensor | undefined;
  /**
   * `[B, P]`: Q image tokens in each row, then the prompt, padded on the left for decoder-only models (OPT), else on the right (T5). Image tokens and the
   * configuration's first token (BOS) unless given.
   */
  inputIds?: Tensor | undefined;
  /** `[B, P]`, 0 at padding; none where there is none. */
  attentionMask?: Tensor | undefined;
  /** Takes pictures of another size than the tower's own. */
  interpolatePosEncoding?: boolean | undefined;
}

const INPUTS: InputNames<GenerateInputs> = {
  pixelValues: true,
  languageModelInputs: true,
  inputIds: true,
  attentionMask: true,
  interpolatePosEncoding: false,
};

interface Prepared {
  decoding: Rewindable;
  /** What the result starts with. */
  inputIds: Tensor;
  options: GenerateOptions;
}

/** Encodes pictures and prompt once, whatever the number of beams, and fills in the configuration's special tokens. */
function prepare(model: Blip2ForConditionalGeneration, inputs: GenerateInputs, options: GenerateOptions): Prepared {
  checkInputs(inputs, INPUTS);
  checkArgument('options', options, anObject);
  checkArgument('signal', options.signal, optional(anAbortSignal));
  options.signal?.throwIfAborted();
  return inferenceMode(() =>
    scope(() => {
      const { textConfig } = model.config;
      const projected = projectedQueries(model, inputs);
      const bosTokenId = options.bosTokenId ?? textConfig.bosTokenId;
      const inputIds = inputs.inputIds?.alias() ?? imagePrompt(model, projected, bosTokenId);
      const embedded = model.embedPrompt(inputIds, projected);
      checkMask('attentionMask', inputs.attentionMask, inputIds);
      const decoding = model.language.decoding(embedded, inputs.attentionMask ?? null);
      const { eosTokenId = textConfig.eosTokenId, padTokenId = textConfig.padTokenId } = options;
      return { decoding, inputIds: keep(model.language.start(inputIds)), options: { ...options, eosTokenId, padTokenId } };
    }),
  );
}

/** The queries as the language model reads them, `[B, Q, E]`. */
function projectedQueries(
  model: Blip2ForConditionalGeneration,
  { pixelValues, languageModelInputs, interpolatePosEncoding }: GenerateInputs,
): Tensor {
  if (languageModelInputs !== undefined) return languageModelInputs;
  if (pixelValues === undefined)
    throw new ArgumentError('pixelValues', 'pictures, or languageModelInputs made of them', 'neither');
  return model.encodeImages(pixelValues, { interpolatePosEncoding });
}

/** A row of Q image tokens and the first token for each picture. */
function imagePrompt(model: Blip2ForConditionalGeneration, projected: Tensor, bosTokenId: number | null): Tensor {
  if (bosTokenId === null) throw new ArgumentError('inputIds', 'a prompt, as the configuration has no first token', 'none');
  const [batch, queries] = projected.shape as readonly [number, number];
  const of = { dtype: 'int64', device: projected.device } as const;
  // Without an image token in the configuration, embedPrompt says so.
  return cat([full([batch, queries], model.config.imageTokenIndex ?? 0, of), full([batch, 1], bosTokenId, of)], 1);
}

/** See {@link Blip2ForConditionalGeneration.generate}. */
export async function generateText(
  model: Blip2ForConditionalGeneration,
  inputs: GenerateInputs,
  options: GenerateOptions,
): Promise<Generated> {
  const prepared = prepare(model, inputs, options);
  try {
    return await generate(prepared.decoding, prepared, prepared.options);
  } finally {
    prepared.inputIds.dispose();
  }
}

/** See {@link Blip2ForConditionalGeneration.stream}. */
export async function* streamText(
  model: Blip2ForConditionalGeneration,
  inputs: GenerateInputs,
  options: GenerateOptions,
): AsyncGenerator<readonly DecidedToken[], Generated, void> {
  const prepared = prepare(model, inputs, options);
  try {
    return yield* streamTokens(prepared.decoding, prepared, prepared.options);
  } finally {
    prepared.inputIds.dispose();
  }
}

/** See {@link Blip2ForConditionalGeneration.score}. */
export async function scoreText(
  model: Blip2ForConditionalGeneration,
  inputs: GenerateInputs,
  continuations: Continuations,
  options: ScoreOptions,
): Promise<number[][]> {
  checkArgument('options', options, anObject);
  const { signal } = options;
  const prepared = prepare(model, inputs, { signal });
  prepared.inputIds.dispose();
  return scoreContinuations(prepared.decoding, continuations, options);
}
