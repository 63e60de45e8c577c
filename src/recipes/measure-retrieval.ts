import {
  evalTransform,
  ImageProcessor,
  type ImageTransform,
  type LoaderOptions,
  loader,
  openDataset,
  Tokenizer,
} from '../data/index.ts';
import { Blip2ForImageTextRetrieval } from '../models/index.ts';
import { anObject, checkArgument } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { evaluateRetrieval, type RetrievalModel, type RetrievalProgress, type RetrievalResult } from '../tasks/index.ts';
import { setThreads, type Tensor } from '../tensor/index.ts';
import { choice, count, orNull, overridden, type Rules, whole } from './fields.ts';
import { modelKind } from './open-run.ts';
import { openStage1 } from './open-stage1.ts';
import { type DataSettings, place, RUN_RULES, type RunSettings } from './run-settings.ts';

/** What {@link measureRetrieval} is told. */
export interface RetrievalSettings extends Pick<RunSettings, 'images' | 'device' | 'threads' | 'workers' | 'maxBroken'> {
  /** The folder of a run of the first stage, or of one of its checkpoints; or Hugging Face's of a `Blip2ForImageTextRetrieval`. */
  readonly model: string;
  /** Which checkpoint of a run: `'last'`, `'best'` or a step. */
  readonly checkpoint: string | number;
  /** Of a run: the tower's weights, where they have been moved; null where they have not. */
  readonly visionWeights: string | null;
  /** Pictures with captions; of Karpathy's split `test` unless told. */
  readonly data: DataSettings;
  /** Number format of the products; of a folder also that of the weights. */
  readonly dtype: 'float32' | 'bfloat16';
  /** Pictures at a time. */
  readonly batchSize: number;
  /** Candidates that matching ranks anew; 0: contrast alone. */
  readonly topK: number;
}

const DEFAULTS: Omit<RetrievalSettings, 'model' | 'data'> = {
  checkpoint: 'last',
  visionWeights: null,
  images: null,
  device: 'cpu',
  threads: null,
  workers: null,
  maxBroken: 0.01,
  dtype: 'float32',
  batchSize: 32,
  topK: 128,
};

/** What {@link measureRetrieval} takes where it is told nothing else. */
export function retrievalDefaults(): object {
  return DEFAULTS;
}

const { data, images, device, threads, workers, maxBroken } = RUN_RULES;
const RULES = {
  data,
  images,
  device,
  threads,
  workers,
  maxBroken,
  model: place,
  checkpoint: { fits: (value) => value === 'last' || value === 'best' || whole.fits(value), expected: 'last, best or a step' },
  visionWeights: orNull(place),
  dtype: choice('float32', 'bfloat16'),
  batchSize: count,
  topK: whole,
} as Rules;

interface Opened {
  readonly model: RetrievalModel;
  readonly tokenizer: Tokenizer;
  readonly transform: ImageTransform;
  readonly encoder?: { encode(pixelValues: Tensor): Tensor };
  dispose(): void;
}

/**
 * Measures image-text retrieval with a trained model on a data set, as the command line does: see `evaluateRetrieval`. `onBroken` is told of
 * samples that cannot be used and are left out.
 * @throws ArgumentError naming the setting as `run.<name>`; FileError for what cannot be read; the signal's reason once that is aborted
 */
export async function measureRetrieval(
  given: Pick<RetrievalSettings, 'model' | 'data'> & Partial<RetrievalSettings>,
  options: {
    signal?: AbortSignal;
    onProgress?: (progress: RetrievalProgress) => void;
    onBroken?: LoaderOptions['onBroken'];
  } = {},
): Promise<RetrievalResult> {
  checkArgument('options', options, anObject);
  const { onBroken = () => {}, ...rest } = options;
  const settings = overridden<RetrievalSettings>(DEFAULTS as RetrievalSettings, given, RULES, 'run');
  for (const name of ['model', 'data'] as const) {
    if (settings[name] === undefined)
      throw new ArgumentError(`run.${name}`, name === 'model' ? 'a folder' : 'pictures with captions', 'none');
  }
  const { batchSize, topK, dtype } = settings;
  if (settings.threads !== null) setThreads(settings.threads);
  const pictures = await openDataset(settings.data, {
    grouped: true,
    splits: ['test'],
    ...(settings.images === null ? {} : { images: settings.images }),
  });
  const opened = openModel(settings);
  try {
    const { model, tokenizer, encoder, transform } = opened;
    const reading = {
      batchSize,
      transform,
      shuffle: false,
      epochs: 1,
      device: settings.device,
      maxBroken: settings.maxBroken,
      onBroken,
    };
    const gallery = loader(pictures, settings.workers === null ? reading : { ...reading, workers: settings.workers });
    return await evaluateRetrieval(model, gallery, { tokenizer, encoder, topK, precision: dtype, ...rest });
  } finally {
    opened.dispose();
  }
}

function openModel({ model: folder, device, dtype, checkpoint, visionWeights }: RetrievalSettings): Opened {
  if (modelKind(folder, ['stage1', 'Blip2ForImageTextRetrieval']) === 'stage1') {
    return openStage1(folder, { device, checkpoint, visionWeights: visionWeights ?? undefined });
  }
  if (visionWeights !== null)
    throw new ArgumentError('run.visionWeights', "null, as a folder of Hugging Face's has its tower,", visionWeights);
  const { size, imageMean, imageStd } = ImageProcessor.fromPretrained(folder).config;
  const model = Blip2ForImageTextRetrieval.fromPretrained(folder, { device, dtype });
  return {
    model,
    tokenizer: Tokenizer.fromPretrained(folder),
    transform: evalTransform({ size: size.height, imageMean, imageStd }),
    dispose: () => model.dispose(),
  };
}
