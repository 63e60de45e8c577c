import type { Blip2ForPretraining } from '../models/index.ts';
import { checkArgument, having } from '../native/arguments.ts';
import { evaluateRetrieval, type GalleryBatch, type RetrievalEvaluationOptions } from '../tasks/index.ts';
import type { TrainingEvaluation } from '../train/index.ts';

/** Options of {@link retrievalEvaluation}: those of `evaluateRetrieval`, and when. */
export interface RetrievalDuringTraining extends RetrievalEvaluationOptions {
  /** Steps from one evaluation to the next. */
  readonly every: number;
  /** Opens the validation set, anew for every evaluation; such as a `Loader` or `cachedGallery` over a data set that was opened with `grouped`. */
  readonly gallery: () => AsyncIterable<GalleryBatch> | Iterable<GalleryBatch>;
  /** The metric by which the best checkpoint is chosen; `meanRecall` unless told, null for none. */
  readonly best?: string | null;
}

/**
 * Image-text retrieval on a validation set while the first stage is trained: the `evaluation` of a trainer. Its metrics are logged, and the
 * checkpoint with the highest of them may be kept as the best.
 *
 * @example
 * stage1Trainer(recipe, { model, encoder, tokenizer, data, directory, evaluation: retrievalEvaluation(model, { every: 5000, gallery, tokenizer, encoder }) })
 */
export function retrievalEvaluation(model: Blip2ForPretraining, options: RetrievalDuringTraining): TrainingEvaluation {
  checkArgument('model', model, having('qformer', 'queryTokens'));
  checkArgument('options', options, having('every', 'gallery'));
  const { every, gallery, best: metric = 'meanRecall', ...rest } = options;
  return {
    every,
    run: async (_, ending) => (await evaluateRetrieval(model, gallery(), { signal: ending, ...rest })).metrics,
    ...(metric === null ? {} : { best: { metric, better: 'higher' } }),
  };
}
