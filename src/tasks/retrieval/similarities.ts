// N pictures, T texts, Q queries a picture, E width of the features compared, K depth.
import { contrastSimilarity } from '../../losses/index.ts';
import { keep, type Tensor } from '../../tensor/index.ts';
import type { Gallery } from './gallery.ts';
import { best, decode, orderOf } from './ranks.ts';
import type { EncodedTexts } from './texts.ts';
import type { Work } from './work.ts';

/** The best candidates of every query by cosine, row by row. */
export interface Contrasted {
  readonly candidates: Int32Array;
  readonly cosines: Float32Array;
}

/** Similarities that are computed at a time: pictures × queries × texts. */
const BLOCK = 2 ** 24;
const PICTURES = 128;

/** Compares all pictures with all texts, a block at a time, and keeps the best `depth` candidates in both directions. */
export async function compare(
  gallery: Gallery,
  texts: EncodedTexts,
  depth: { texts: number; pictures: number },
  work: Work,
): Promise<{ imageToText: Contrasted; textToImage: Contrasted }> {
  const { pictures } = gallery;
  const count = texts.lengths.length;
  const byPicture = collector(pictures, Math.min(depth.texts, count));
  const byText = collector(count, Math.min(depth.pictures, pictures));
  let columns: (Tensor | null)[] = [];
  let block = 0;
  try {
    for (let from = 0; from < pictures; from += PICTURES) {
      const rows = Math.min(PICTURES, pictures - from);
      const features = keep(await work.step(() => gallery.compared.read(from, rows).to({ device: work.device })));
      if (block === 0) {
        block = Math.max(1, Math.floor(BLOCK / (rows * features.size(1))));
        columns = Array.from({ length: Math.ceil(count / block) }, () => null);
      }
      let own: Tensor | null = null;
      try {
        for (const [i, before] of columns.entries()) {
          const start = i * block;
          const [nextOwn, nextColumn]: [Tensor, Tensor] = await work.step(() => {
            const some = texts.features.narrow(0, start, Math.min(block, count - start));
            const order = orderOf(contrastSimilarity(features, some));
            return [
              keep(best(own, order, start, byPicture.depth)),
              keep(best(before, order.transpose(0, 1), from, byText.depth)),
            ];
          });
          own?.dispose();
          before?.dispose();
          own = nextOwn;
          columns[i] = nextColumn;
        }
        byPicture.set(from, own as Tensor);
      } finally {
        own?.dispose();
        features.dispose();
      }
      work.report('similarities', from + rows, pictures);
    }
    for (const [i, keys] of columns.entries()) byText.set(i * block, keys as Tensor);
    return { imageToText: byPicture, textToImage: byText };
  } finally {
    for (const keys of columns) keys?.dispose();
  }
}

/** Room for the results of all queries. */
function collector(queries: number, depth: number) {
  const candidates = new Int32Array(queries * depth);
  const cosines = new Float32Array(queries * depth);
  const set = (first: number, keys: Tensor): void => {
    const found = decode(keys);
    candidates.set(found.candidates, first * depth);
    cosines.set(found.scores, first * depth);
  };
  return { candidates, cosines, depth, set };
}
