import { aCount, aFunction, checkArgument, having, optional } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { type CaptionMetrics, type GalleryBatch, scoreCaptions } from '../tasks/index.ts';
import type { TrainingEvaluation } from '../train/index.ts';
import { writeResults } from './evaluation-results.ts';

/** Writes a caption for each picture of a batch. */
export type WriteCaptions = (batch: GalleryBatch, signal: AbortSignal) => Promise<readonly string[]>;

/** Options of {@link captionEvaluation}. */
export interface CaptionsDuringTraining {
  /** Steps from one evaluation to the next. */
  readonly every: number;
  /** Opens the held-out pictures, anew for every evaluation; such as a `Loader` or `cachedGallery` over a data set that was opened with `grouped`. */
  readonly gallery: () => AsyncIterable<GalleryBatch> | Iterable<GalleryBatch>;
  /** How many are captioned, the first ones; all unless told. */
  readonly pictures?: number | undefined;
  /** Where `captions-00001000.json` and so on are written: what the model wrote beside what people did. Nowhere unless told. */
  readonly directory?: string | undefined;
  /** The metric by which the best checkpoint is chosen, such as `ciderD`; none unless told. */
  readonly best?: keyof CaptionMetrics | undefined;
}

/**
 * Captions of held-out pictures while a stage is trained: the `evaluation` of a trainer. BLEU, ROUGE-L and CIDEr-D of those that have captions to
 * compare with are its metrics. It throws ArgumentError where the gallery has none.
 *
 * @param write {@link stage1Captions} or {@link Stage2Writer.captions}
 * @example
 * const evaluation = captionEvaluation(stage1Captions(model, { tokenizer, encoder }), { every: 5000, gallery, pictures: 500, directory: 'run/evaluation' });
 */
export function captionEvaluation(write: WriteCaptions, options: CaptionsDuringTraining): TrainingEvaluation {
  checkArgument('options', options, having('every', 'gallery'));
  checkArgument('write', write, aFunction);
  const { every, gallery, directory, best } = options;
  checkArgument('every', every, aCount);
  checkArgument('gallery', gallery, aFunction);
  checkArgument('pictures', options.pictures, optional(aCount));
  const { pictures = Infinity } = options;
  return {
    every,
    async run(step, signal) {
      const written: { key?: string; caption: string; references: readonly string[] }[] = [];
      for await (const batch of gallery()) {
        try {
          signal.throwIfAborted();
          const captions = await write(batch, signal);
          const { keys } = batch as { readonly keys?: readonly string[] };
          for (const [i, caption] of captions.slice(0, pictures - written.length).entries()) {
            const key = keys?.[i];
            written.push({ ...(key === undefined ? {} : { key }), caption, references: batch.allCaptions[i] ?? [] });
          }
        } finally {
          batch.dispose?.();
        }
        if (written.length >= pictures) break;
      }
      if (written.length === 0) throw new ArgumentError('gallery', 'at least one picture that can be used', 'none');
      if (directory !== undefined) writeResults(directory, 'captions', step, written);
      const scored = written.filter(({ references }) => references.length > 0);
      return scored.length === 0 ? {} : { ...scoreCaptions(scored) };
    },
    ...(best === undefined ? {} : { best: { metric: best, better: 'higher' } }),
  };
}
