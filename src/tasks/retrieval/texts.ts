// T texts, L length of the longest, E width of the features compared.
import { cat, type Device, fromTypedArray, keep, scope, type Tensor } from '../../tensor/index.ts';
import type { RetrievalModel } from './model.ts';
import type { RetrievalSettings } from './options.ts';
import type { Work } from './work.ts';

/** The texts of a gallery, encoded. */
export interface EncodedTexts {
  /** `[T, L]` int64, with anything behind a text's end. */
  readonly inputIds: Tensor;
  readonly lengths: readonly number[];
  /** `[T, E]` float32. */
  readonly features: Tensor;
  dispose(): void;
}

/** Tokens of texts `[T]` in one table. */
function tokensOf(texts: readonly string[], { tokenizer, maxLength }: RetrievalSettings, device: Device) {
  const { inputIds, attentionMask } = tokenizer.encode(texts, { padding: 'longest', truncation: true, maxLength });
  const width = inputIds[0]?.length ?? 0;
  const ids = new BigInt64Array(texts.length * width);
  for (const [i, row] of inputIds.entries()) for (const [j, id] of row.entries()) ids[i * width + j] = BigInt(id);
  const lengths = attentionMask.map((row) => row.reduce((sum, one) => sum + one, 0));
  return { inputIds: fromTypedArray(ids, [texts.length, width], { device }), lengths };
}

/** Encodes texts, those of about the same length together, so that little is padding. */
export async function encodeTexts(
  model: RetrievalModel,
  texts: readonly string[],
  settings: RetrievalSettings,
  work: Work,
): Promise<EncodedTexts> {
  const { device } = work;
  const { inputIds, lengths } = tokensOf(texts, settings, device);
  keep(inputIds);
  const order = [...lengths.keys()].sort((a, b) => (lengths[a] as number) - (lengths[b] as number) || a - b);
  const parts: Tensor[] = [];
  try {
    for (let at = 0; at < order.length; at += settings.textBatch) {
      const rows = order.slice(at, at + settings.textBatch);
      await work.step(() => {
        const own = chosen({ inputIds, lengths }, rows);
        const longest = Math.max(...own.lengths);
        const mask = Int32Array.from({ length: rows.length * longest }, (_, i) =>
          i % longest < (own.lengths[Math.floor(i / longest)] as number) ? 1 : 0,
        );
        const attentionMask = fromTypedArray(mask, [rows.length, longest], { device }).long();
        const { textEmbeds } = model.encodeTexts(own.inputIds, attentionMask, { classOnly: true });
        parts.push(keep(textEmbeds.select(1, 0).float().clone()));
      });
      work.report('texts', Math.min(at + settings.textBatch, texts.length), texts.length);
    }
    const place = new Int32Array(order.length);
    for (const [i, row] of order.entries()) place[row] = i;
    const features = keep(scope(() => cat(parts).indexSelect(0, fromTypedArray(place, [place.length], { device }))));
    return {
      inputIds,
      lengths,
      features,
      dispose: () => {
        inputIds.dispose();
        features.dispose();
      },
    };
  } catch (error) {
    inputIds.dispose();
    throw error;
  } finally {
    for (const part of parts) part.dispose();
  }
}

/** Some of the texts, cut to the longest of them. */
export function chosen(
  { inputIds, lengths }: Pick<EncodedTexts, 'inputIds' | 'lengths'>,
  rows: ArrayLike<number> & Iterable<number>,
): { inputIds: Tensor; lengths: number[] } {
  const own = Array.from(rows, (row) => lengths[row] as number);
  const index = fromTypedArray(Int32Array.from(rows), [own.length], { device: inputIds.device });
  return { inputIds: inputIds.indexSelect(0, index).narrow(1, 0, Math.max(...own)), lengths: own };
}
