import { ArgumentError } from '../native/errors.ts';
import { Gallery, readGallery } from './retrieval/gallery.ts';
import { match, reordered } from './retrieval/matching.ts';
import type { GalleryBatch, RetrievalModel } from './retrieval/model.ts';
import { type RetrievalEvaluationOptions, resolveOptions } from './retrieval/options.ts';
import { Rankings } from './retrieval/rankings.ts';
import { type Contrasted, compare } from './retrieval/similarities.ts';
import { encodeTexts } from './retrieval/texts.ts';
import { Work } from './retrieval/work.ts';

/** Rankings in both directions. */
export interface RetrievalRankings {
  /** Texts for each picture. A picture's rank is that of the best of its captions; one without captions asks for nothing. */
  readonly imageToText: Rankings;
  /** Pictures for each text. */
  readonly textToImage: Rankings;
}

/** What {@link evaluateRetrieval} gives. */
export interface RetrievalResult {
  /** How many pictures there are. */
  readonly pictures: number;
  /** Their captions, picture by picture. */
  readonly texts: readonly string[];
  /** The number of each text's picture. */
  readonly owners: readonly number[];
  /** By the contrast alone: the greatest cosine of any of a picture's queries. */
  readonly contrast: RetrievalRankings;
  /** The same with the first `topK` put into the order of matching logit + cosine; null with `topK` 0. */
  readonly matched: RetrievalRankings | null;
  /**
   * Recall at k in percent: `imageToTextRecall1`, `textToImageRecall1`, … for every k of `recallAt`, and `meanRecall` of all of them; where
   * candidates were matched, also by the contrast alone: `contrastImageToTextRecall1`, ….
   */
  readonly metrics: Readonly<Record<string, number>>;
}

/**
 * Image-text retrieval on a gallery, as LAVIS evaluates it (`compute_sim_matrix`, `report_metrics`): all pictures and texts are compared by
 * the contrast; the `topK` best candidates of every query are ranked anew by the matching head's raw logit + cosine, and all others
 * stand behind them. A pair that is a candidate in both directions is matched once.
 *
 * The gallery is read once, batch by batch. Of its pictures only features are kept, beyond `maxBytes` in a temporary file, and of the
 * similarities only the best candidates; so it may be larger than the memory. Equal scores are ranked by cosine, then as the gallery has
 * them.
 *
 * @param model in evaluation mode
 * @example
 * const pictures = loader(await cocoCaptions(file, { splits: ['test'], grouped: true }), { batchSize: 32, transform, shuffle: false, epochs: 1 });
 * const { metrics } = await evaluateRetrieval(model, pictures, { tokenizer, encoder });
 * @throws ArgumentError for options or a gallery that are not as expected; FileError where a temporary file cannot be written; the
 *   signal's reason once that is aborted; what reading the gallery throws
 */
export async function evaluateRetrieval(
  model: RetrievalModel,
  gallery: AsyncIterable<GalleryBatch> | Iterable<GalleryBatch>,
  options: RetrievalEvaluationOptions,
): Promise<RetrievalResult> {
  const settings = resolveOptions(options);
  if ('training' in model && model.training === true) {
    throw new ArgumentError('model', 'a model in evaluation mode', 'one in training mode');
  }
  const { topK, recallAt } = settings;
  const work = new Work(settings, model.queryTokens.device);
  const whole = new Gallery(settings);
  try {
    await readGallery(whole, model, gallery, settings, work);
    const { pictures, texts, owners, matched: features } = whole;
    const encoded = await encodeTexts(model, texts, settings, work);
    try {
      const depth = Math.max(topK, ...recallAt);
      const ranked = await compare(whole, encoded, { texts: depth, pictures: depth }, work);
      const rankings = rankingsOf(pictures, owners);
      const contrast = rankings(ranked);
      if (features === null) return { pictures, texts, owners, contrast, matched: null, metrics: recalls(contrast, recallAt) };
      const scored = await match(model, features, encoded, ranked, settings, work);
      const matched = rankings({
        imageToText: reordered(scored.imageToText),
        textToImage: reordered(scored.textToImage),
      });
      const alone = Object.entries(recalls(contrast, recallAt));
      const metrics = {
        ...recalls(matched, recallAt),
        ...Object.fromEntries(alone.map(([name, value]) => [`contrast${name[0]?.toUpperCase()}${name.slice(1)}`, value])),
      };
      return { pictures, texts, owners, contrast, matched, metrics };
    } finally {
      encoded.dispose();
    }
  } finally {
    whole.dispose();
  }
}

function rankingsOf(pictures: number, owners: readonly number[]) {
  const asking = new Set(owners);
  return ({ imageToText, textToImage }: { imageToText: Contrasted; textToImage: Contrasted }): RetrievalRankings => ({
    imageToText: new Rankings(
      imageToText,
      pictures,
      (picture, text) => owners[text] === picture,
      (picture) => asking.has(picture),
    ),
    textToImage: new Rankings(
      textToImage,
      owners.length,
      (text, picture) => owners[text] === picture,
      () => true,
    ),
  });
}

function recalls({ imageToText, textToImage }: RetrievalRankings, ks: readonly number[]): Record<string, number> {
  const of = (name: string, rankings: Rankings): [string, number][] =>
    rankings.recall(ks).map((value, i) => [`${name}Recall${ks[i]}`, value]);
  const all = [...of('imageToText', imageToText), ...of('textToImage', textToImage)];
  const meanRecall = all.reduce((sum, [, value]) => sum + value, 0) / all.length;
  return { ...Object.fromEntries(all), meanRecall };
}
