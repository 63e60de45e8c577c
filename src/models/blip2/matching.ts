// B pictures, T texts, Q queries a picture, N image tokens, L length of a text, D width of the Q-Former, E of the features compared.

import { anArray, anObject, arrayOf, checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import type { Linear } from '../../nn/index.ts';
import { normalize, type Tensor, zeros } from '../../tensor/index.ts';
import type { QFormerEmbeddings } from '../qformer/embeddings.ts';
import { contrastMask, matchingMask } from '../qformer/masks.ts';
import type { CrossKeyValues, QFormerModel, SharedPictures } from '../qformer/model.ts';
import { Packing } from '../qformer/packing.ts';
import { checkIds, checkMask } from './inputs.ts';

/** What the models that compare pictures and texts have in common. */
export interface MatchingParts {
  readonly queryTokens: Tensor;
  readonly embeddings: QFormerEmbeddings;
  readonly qformer: QFormerModel;
  readonly visionProjection: Linear;
  readonly textProjection: Linear;
  readonly itmHead: Linear;
}

/**
 * Pictures to be matched: the frozen encoder's features `[B, N, W]`, a picture a text; or keys and values of these; or of pictures that
 * several texts which follow one another are matched with.
 */
export type MatchImages =
  | { readonly imageFeatures: Tensor }
  | { readonly imageKeyValues: CrossKeyValues }
  | { readonly sharedPictures: readonly SharedPictures[] };

/** Options of `match`. */
export interface MatchOptions {
  /**
   * How many ids of each row are no padding, where that is on the right: in place of a mask, and padding is then not computed. At least 1
   * each.
   */
  lengths?: readonly number[];
}

/** The queries' normalised features, `[B, Q, E]`. */
export function imageFeatures(parts: MatchingParts, keyValues: CrossKeyValues): Tensor {
  const { queries } = parts.qformer.encode({ queryEmbeds: parts.queryTokens, encoderKeyValues: keyValues });
  const projection = parts.visionProjection;
  return normalize(projection.forward((queries as Tensor).to(projection.weight.dtype)));
}

/** Normalised features of texts' tokens, or of their first alone, and the Q-Former's output for them: `[T, L or 1, E]`, `[T, L or 1, D]`. */
export function textFeatures(
  parts: MatchingParts,
  inputIds: Tensor,
  attentionMask: Tensor | undefined,
  options: { classOnly?: boolean },
): { textEmbeds: Tensor; lastHiddenState: Tensor } {
  checkIds('inputIds', inputIds);
  checkMask('attentionMask', attentionMask, inputIds);
  checkArgument('options', options, anObject);
  const { classOnly = false } = options;
  const { text } = parts.qformer.encode({
    textEmbeds: parts.embeddings.forward(inputIds),
    attentionMask: attentionMask === undefined ? null : contrastMask(attentionMask),
    wanted: classOnly ? 'first' : 'all',
  });
  const lastHiddenState = text as Tensor;
  const projection = parts.textProjection;
  return { textEmbeds: normalize(projection.forward(lastHiddenState.to(projection.weight.dtype))), lastHiddenState };
}

/**
 * The matching head's logits `[T, 2]`, mean over the queries.
 * @throws ArgumentError where pictures, texts and lengths are not as many
 */
export function matchingLogits(
  parts: MatchingParts,
  pictures: readonly SharedPictures[],
  inputIds: Tensor,
  attentionMask: Tensor | undefined,
  options: MatchOptions = {},
): Tensor {
  checkIds('inputIds', inputIds);
  checkMask('attentionMask', attentionMask, inputIds);
  checkArgument('options', options, anObject);
  checkArgument('images.sharedPictures', pictures, arrayOf(having('keyValues', 'share')));
  for (const { keyValues } of pictures) checkArgument('images.imageKeyValues', keyValues, anArray);
  const { lengths } = options;
  const [texts, width] = inputIds.shape as readonly [number, number];
  const rows = pictures.reduce((sum, { keyValues, share }) => sum + share * rowsOf(keyValues), 0);
  if (rows !== texts)
    throw new ArgumentError('inputIds', `ids [${rows}, L], a row for each picture`, `[${inputIds.shape.join(', ')}]`);
  const words = parts.embeddings.forward(inputIds);
  const queries = parts.queryTokens.size(1);
  const hidden = parts.qformer.encode({
    queryEmbeds: parts.queryTokens,
    ...(lengths === undefined
      ? { textEmbeds: words, attentionMask: attentionMask === undefined ? null : matchingMask(attentionMask, queries) }
      : packed(words, checked(lengths, texts, width), queries)),
    sharedPictures: pictures,
    wanted: 'queries',
  }).queries as Tensor;
  return parts.itmHead.forward(hidden.to(parts.itmHead.weight.dtype)).mean(1);
}

function packed(words: Tensor, lengths: readonly number[], queries: number) {
  const [count, width] = words.shape as readonly [number, number];
  const packing = Packing.of(lengths, width, words.device);
  const tokens = zeros([count * width], { dtype: 'int64', device: words.device })
    .indexFill(0, packing.tokens.long(), 1)
    .view(count, width);
  return { textEmbeds: packing.pack(words), packing, attentionMask: matchingMask(tokens, queries) };
}

function checked(lengths: readonly number[], texts: number, width: number): readonly number[] {
  checkArgument('lengths', lengths, anArray);
  if (lengths.length !== texts) throw new ArgumentError('lengths', `${texts}, one a row`, String(lengths.length));
  const wrong = lengths.find((length) => !Number.isInteger(length) || length < 1 || length > width);
  if (wrong !== undefined) throw new ArgumentError('lengths', `integers from 1 to ${width}`, String(wrong));
  return lengths;
}

function rowsOf(keyValues: CrossKeyValues): number {
  return keyValues.find((layer) => layer !== undefined)?.key.size(0) ?? 0;
}
