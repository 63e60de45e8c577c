// N pictures, B of a batch, Q queries a picture, E width of the features compared.
import { ArgumentError } from '../../native/errors.ts';
import { shown } from '../../native/fields.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { GalleryBatch, RetrievalModel } from './model.ts';
import type { RetrievalSettings } from './options.ts';
import { RowStore } from './row-store.ts';
import type { Work } from './work.ts';

/** A gallery's pictures, encoded, and its texts. */
export class Gallery {
  /** The queries' features, `[N, Q, E]` float32. */
  readonly compared: RowStore;
  /** What matching reads; null where nothing is matched. */
  readonly matched: RowStore | null;
  readonly texts: string[] = [];
  /** The picture of each text. */
  readonly owners: number[] = [];

  constructor({ maxBytes, directory, topK }: RetrievalSettings) {
    this.compared = new RowStore(maxBytes, directory);
    this.matched = topK === 0 ? null : new RowStore(maxBytes, directory);
  }

  /** Pictures in it. */
  get pictures(): number {
    return this.compared.count;
  }

  dispose(): void {
    this.compared.dispose();
    this.matched?.dispose();
  }
}

/**
 * Reads a gallery, batch by batch, into `gallery`.
 * @throws ArgumentError for a batch without pictures that the model takes, and for a gallery without pictures or texts
 */
export async function readGallery(
  gallery: Gallery,
  model: RetrievalModel,
  batches: AsyncIterable<GalleryBatch> | Iterable<GalleryBatch>,
  settings: RetrievalSettings,
  work: Work,
): Promise<void> {
  for await (const batch of batches) {
    try {
      checkBatch(batch);
      await work.step(() => {
        const { imageEmbeds, lastHiddenState } = model.encodeImages(imagesOf(batch, settings, work));
        if (imageEmbeds.size(0) !== batch.allCaptions.length) {
          throw new ArgumentError('allCaptions', `lists for ${imageEmbeds.size(0)} pictures`, String(batch.allCaptions.length));
        }
        gallery.compared.append(imageEmbeds.float());
        gallery.matched?.append(settings.keepAs === undefined ? lastHiddenState : lastHiddenState.to(settings.keepAs));
      });
      const first = gallery.pictures - batch.allCaptions.length;
      for (const [i, captions] of batch.allCaptions.entries()) {
        for (const caption of captions) {
          gallery.texts.push(caption);
          gallery.owners.push(first + i);
        }
      }
    } finally {
      batch.dispose?.();
    }
    work.report('pictures', gallery.pictures, null);
  }
  if (gallery.pictures === 0) throw new ArgumentError('gallery', 'pictures', 'none');
  if (gallery.texts.length === 0) throw new ArgumentError('gallery', 'pictures with captions', 'none with any');
}

function checkBatch(batch: GalleryBatch): void {
  const captions: unknown = batch?.allCaptions;
  const fits =
    Array.isArray(captions) && captions.every((own) => Array.isArray(own) && own.every((text) => typeof text === 'string'));
  if (!fits) throw new ArgumentError('allCaptions', 'a list of texts for each picture', shown(captions));
}

function imagesOf({ imageFeatures, pixelValues }: GalleryBatch, { encoder }: RetrievalSettings, { device }: Work): Tensor {
  const images = imageFeatures ?? (pixelValues === undefined ? undefined : (encoder?.encode(pixelValues) ?? pixelValues));
  if (images === undefined) throw new ArgumentError('gallery', 'batches with pixelValues or imageFeatures', 'one without');
  return images.to({ device });
}
