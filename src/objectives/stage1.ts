// B pairs of this process, G of all processes, Q queries a picture, N image tokens, W width of the picture's features, L longest text,
// T tokens of all texts, D width of the Q-Former.

import { alone, type ProcessGroup } from '../dist/index.ts';
import { contrastSimilarity, drawNegatives, itcLoss, itmLoss, type Positives, positivesOf, tokenLoss } from '../losses/index.ts';
import {
  type Blip2ForPretraining,
  type CrossKeyValues,
  captionMask,
  contrastMask,
  type KeyValue,
  matchingMask,
  Packing,
  type QFormerStreams,
} from '../models/index.ts';
import { anObject, checkArgument, checkKeys, having } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { shown } from '../native/fields.ts';
import { cat, full, type Generator, inFloat32, normalize, ones, scope, stack, type Tensor, zeros } from '../tensor/index.ts';
import { captionStatistics, contrastStatistics, matchingStatistics, type Stage1Statistics } from './stage1-statistics.ts';

/** Pairs of a picture and its text. */
export interface Stage1Batch {
  /** What the frozen encoder gave, before its last LayerNorm, `[B, N, W]`. */
  imageFeatures: Tensor;
  /** `[B, L]` int64: `[CLS]`, text, `[SEP]`, and padding on the right; of the same L on every rank. */
  inputIds: Tensor;
  /** How many ids of each row are no padding, at least 2. Known to the host, so that texts can be packed. */
  lengths: readonly number[];
  /** Which picture each pair is of, `[B]` int64, where several texts may share one. */
  imageIds?: Tensor | undefined;
}

/** How {@link stage1Loss} goes about it. */
export interface Stage1Options {
  /** Factors of the objectives, 1 unless told; 0 leaves one out, with all that is needed for it alone. */
  weights?: { itc?: number; itm?: number; itg?: number };
  /**
   * Where the contrast's gradient flows: `'own'` (unless told) to the picture of image-to-text and the text of text-to-image, as in the
   * official runs, where what other processes gave carries none; `'both'` to both sides of each.
   */
  contrastGradient?: 'own' | 'both';
  /** Of the contrast's and the written text's targets; 0.1 unless told. */
  labelSmoothing?: number;
  /** Draws the hard negatives. */
  generator?: Generator;
  /** Fixed negatives instead: a picture for each text and a text for each picture, `[B]` int64 each. */
  negatives?: { images: Tensor; texts: Tensor };
  /** The processes that share a batch; none others unless told. */
  group?: ProcessGroup;
}

/** What {@link stage1Loss} gives; losses that were left out are null. */
export interface Stage1Losses {
  /** The weighted sum. */
  loss: Tensor;
  /** Image-text contrast, `[]`; null where its weight is 0. */
  itc: Tensor | null;
  /** Image-text matching, `[]`; null where its weight is 0. */
  itm: Tensor | null;
  /** Image-grounded text generation, `[]`; null where its weight is 0. */
  itg: Tensor | null;
  /** Numbers on the device, without gradients. */
  statistics: Stage1Statistics;
}

/** What the passes share. */
interface Step {
  readonly model: Blip2ForPretraining;
  readonly batch: Stage1Batch;
  readonly options: Stage1Options;
  readonly group: ProcessGroup;
  readonly lengths: readonly number[];
  /** Words and positions of every process's texts, `[G, L, D]`. */
  readonly words: Tensor;
  /** The same of this process's, without padding, `[T, D]`. */
  readonly ownWords: Tensor;
  readonly packing: Packing;
  /** 1 at tokens, 0 at padding: `[G, L]`. */
  readonly tokens: Tensor;
  readonly keyValues: CrossKeyValues;
  readonly queries: QFormerStreams;
}

/** The contrast's similarities over the temperature, `[B, G]` each. */
interface Contrast {
  readonly imageToText: Tensor;
  readonly textToImage: Tensor;
  readonly positives: Positives;
}

/**
 * The losses of BLIP-2's first stage (§3.1): image-text contrast (ITC), image-text matching with hard negatives (ITM) and image-grounded text
 * generation (ITG), unweighted in the paper.
 *
 * Four passes: queries; text; both, for matching; text over what the first pass kept of its queries, for generation. A picture's keys
 * and values are made once, text without padding, and of each last layer what is used. Nothing waits for the device.
 *
 * @throws ArgumentError for lengths, ids and features that do not fit together, and where every weight is 0
 */
export function stage1Loss(model: Blip2ForPretraining, batch: Stage1Batch, options: Stage1Options = {}): Stage1Losses {
  checkArgument('model', model, having('qformer', 'queryTokens'));
  checkArgument('batch', batch, having('imageFeatures'));
  checkArgument('options', options, anObject);
  const { itc = 1, itm = 1, itg = 1 } = checkedWeights(options);
  if (itc === 0 && itm === 0 && itg === 0) throw new ArgumentError('weights', 'one that is not 0', 'none');
  return scope(() => {
    const step = prepare(model, batch, options, itg !== 0);
    const contrast = itc !== 0 || itm !== 0 ? contrastOf(step) : null;
    const contrasted = contrast === null || itc === 0 ? null : contrastLoss(step, contrast);
    const matched = contrast === null || itm === 0 ? null : matchingLoss(step, contrast);
    const written = itg === 0 ? null : captionLoss(step);
    const terms = [weighted(contrasted, itc), weighted(matched, itm), weighted(written, itg)].flatMap((term) => term ?? []);
    return {
      loss: terms.reduce((sum, term) => sum.add(term)),
      itc: contrasted?.loss ?? null,
      itm: matched?.loss ?? null,
      itg: written?.loss ?? null,
      statistics: { ...contrasted?.statistics, ...matched?.statistics, ...written?.statistics },
    };
  });
}

/** What would be passed over in silence, or make the losses NaN. */
function checkedWeights({ weights = {}, contrastGradient = 'own' }: Stage1Options): NonNullable<Stage1Options['weights']> {
  checkArgument('weights', weights, anObject);
  checkKeys('weights', weights, ['itc', 'itm', 'itg']);
  for (const [name, weight] of Object.entries(weights)) {
    if (weight !== undefined && !(weight >= 0 && weight < Infinity)) {
      throw new ArgumentError(`weights.${name}`, 'a number from 0', shown(weight));
    }
  }
  if (contrastGradient !== 'own' && contrastGradient !== 'both') {
    throw new ArgumentError('contrastGradient', '"own" or "both"', shown(contrastGradient));
  }
  return weights;
}

interface Part {
  readonly loss: Tensor;
  readonly statistics: Stage1Statistics;
}

function weighted(part: Part | null, weight: number): Tensor | null {
  return part === null || weight === 1 ? (part?.loss ?? null) : part.loss.mul(weight);
}

/** Checks the batch and makes what several passes need. */
function prepare(model: Blip2ForPretraining, batch: Stage1Batch, options: Stage1Options, caching: boolean): Step {
  const { group = alone } = options;
  const { imageFeatures } = batch;
  const lengths = checkedLengths(batch);
  // Other processes' texts may be longer than this one's.
  const longest = group.size === 1 ? Math.max(...lengths) : batch.inputIds.size(1);
  const { device } = imageFeatures;
  const ids = batch.inputIds.narrow(1, 0, longest);
  const count = lengths.length;
  const packing = Packing.of(lengths, longest, device);
  const ownTokens = zeros([count * longest], { dtype: 'int64', device })
    .indexFill(0, packing.tokens.long(), 1)
    .view(count, longest);
  // The last row begins with [DEC] at position 0; one look-up means one gradient of the whole table.
  const decoder = full([1, longest], model.config.decoderTokenId, { dtype: 'int64', device });
  const words = model.embeddings.forward(cat([group.gather(ids), decoder]));
  const keyValues = model.imageKeyValues(imageFeatures);
  return {
    model,
    batch: { ...batch, inputIds: ids },
    options,
    group,
    lengths,
    words,
    ownWords: packing.pack(words.narrow(0, group.rank * count, count)),
    packing,
    tokens: group.gather(ownTokens),
    keyValues,
    queries: model.qformer.encode({ queryEmbeds: model.queryTokens, encoderKeyValues: keyValues, cache: caching }),
  };
}

function checkedLengths({ imageFeatures, inputIds, lengths, imageIds }: Stage1Batch): readonly number[] {
  const [batch, width] = inputIds.shape as readonly [number, number];
  if (inputIds.ndim !== 2 || imageFeatures.size(0) !== batch || imageFeatures.ndim !== 3) {
    const shapes = `[${imageFeatures.shape.join(', ')}] and [${inputIds.shape.join(', ')}]`;
    throw new ArgumentError('imageFeatures and inputIds', '[B, N, W] and [B, L]', shapes);
  }
  if (lengths.length !== batch) throw new ArgumentError('lengths', `${batch}, one a row`, String(lengths.length));
  const wrong = lengths.find((length) => !Number.isInteger(length) || length < 2 || length > width);
  if (wrong !== undefined) throw new ArgumentError('lengths', `integers from 2 to ${width}`, String(wrong));
  if (imageIds !== undefined && imageIds.numel !== batch) {
    throw new ArgumentError('imageIds', `[${batch}]`, `[${imageIds.shape.join(', ')}]`);
  }
  return lengths;
}

/** Text alone, and its similarity to the queries of the pass that is there. */
function contrastOf(step: Step): Contrast {
  const { model, batch, packing, group, lengths } = step;
  const rank = group.rank * lengths.length;
  const text = model.qformer.encode({
    textEmbeds: step.ownWords,
    packing,
    attentionMask: contrastMask(step.tokens.narrow(0, rank, lengths.length)),
    wanted: 'first',
  }).text as Tensor;
  const queries = step.queries.queries as Tensor;
  return inFloat32(queries.device, () => {
    const images = normalize(model.visionProjection.forward(queries));
    const texts = normalize(model.textProjection.forward(text.select(1, 0)));
    const both = step.options.contrastGradient === 'both';
    const gather = (x: Tensor): Tensor => (both ? group.gatherWithGradient(x) : group.gather(x));
    const imageToText = contrastSimilarity(images, gather(texts));
    const textToImage =
      both && group.size === 1
        ? imageToText.transpose(0, 1) // the very same products
        : contrastSimilarity(gather(images), texts).transpose(0, 1);
    const { imageIds } = batch;
    const pairs = { offset: rank, count: lengths.length, total: images.size(0) * group.size, device: queries.device };
    return {
      imageToText: imageToText.div(model.temp),
      textToImage: textToImage.div(model.temp),
      positives: positivesOf(pairs, imageIds && { own: imageIds, all: group.gather(imageIds) }),
    };
  });
}

function contrastLoss({ model, options }: Step, { imageToText, textToImage, positives }: Contrast): Part {
  const { labelSmoothing = 0.1 } = options;
  return {
    loss: itcLoss(imageToText, textToImage, positives, { labelSmoothing }),
    statistics: contrastStatistics(imageToText, textToImage, positives, model.temp),
  };
}

/**
 * Matches each picture with its text and with another's, and each text with another picture. The rows of one picture follow one another,
 * so that they ask it together: (picture 0, text 0), (picture 0, text n₀), (picture 1, text 1), …, then (picture m₀, text 0), ….
 */
function matchingLoss(step: Step, contrast: Contrast): Part {
  const { model, packing, tokens, options, group, lengths, words } = step;
  const count = lengths.length;
  const rank = group.rank * count;
  const { positives } = contrast;
  const drawn = options.negatives ?? {
    texts: drawNegatives(contrast.imageToText, positives.mask, options.generator),
    images: drawNegatives(contrast.textToImage, positives.mask, options.generator),
  };
  const ownTokens = tokens.narrow(0, rank, count);
  const otherTokens = tokens.indexSelect(0, drawn.texts);
  const rows = cat([stack([ownTokens, otherTokens], 1).flatten(0, 1), ownTokens]);
  const hidden = model.qformer.encode({
    queryEmbeds: model.queryTokens,
    // Which texts were drawn, and so their lengths, the host does not know: these keep their padding.
    textEmbeds: cat([step.ownWords, words.indexSelect(0, drawn.texts).flatten(0, 1), step.ownWords]),
    packing: matchingPacking(lengths, packing),
    attentionMask: matchingMask(rows, model.config.numQueryTokens),
    sharedPictures: [
      { keyValues: step.keyValues, share: 2 },
      { keyValues: chosenPictures(step, drawn.images), share: 1 },
    ],
    wanted: 'queries',
  }).queries as Tensor;
  const logits = inFloat32(hidden.device, () => model.itmHead.forward(hidden)).mean(1);
  const found = positives.mask.logicalNot().any(1);
  const matches = ones([count], { dtype: 'bool', device: hidden.device });
  const valid = cat([stack([matches, found], 1).flatten(), found]);
  const labels = cat([stack([matches, matches.logicalNot()], 1).flatten(), matches.logicalNot()]).long();
  return { loss: itmLoss(logits, labels, valid), statistics: matchingStatistics(logits, labels, found) };
}

/** Rows of own text and drawn text by turns, then own text again. */
function matchingPacking(lengths: readonly number[], { length, tokens, places }: Packing): Packing {
  const total = tokens.numel;
  const drawnStart = (i: number): number => total + i * length;
  let start = 0;
  const own = lengths.map((count) => {
    start += count;
    return { start: start - count, length: count };
  });
  const again = total + lengths.length * length;
  const rows = [
    ...own.flatMap((row, i) => [row, { start: drawnStart(i), length }]),
    ...own.map((row) => ({ start: again + row.start, length: row.length })),
  ];
  return new Packing(rows, length, places.device);
}

/** Keys and values of the drawn pictures; of other processes' pictures the features are what travels, and they have no gradient. */
function chosenPictures({ model, batch, group, keyValues }: Step, images: Tensor): CrossKeyValues {
  if (group.size > 1) return model.imageKeyValues(group.gather(batch.imageFeatures).indexSelect(0, images));
  const choose = ({ key, value }: KeyValue): KeyValue => ({
    key: key.indexSelect(0, images),
    value: value.indexSelect(0, images),
  });
  return keyValues.map((layer) => layer && choose(layer));
}

/** Writes the text behind [DEC] over the queries of the first pass. The last token predicts nothing, so it does not take part. */
function captionLoss({ model, batch, options, group, lengths, words, tokens, queries }: Step): Part {
  const { labelSmoothing = 0.1 } = options;
  const count = lengths.length;
  const [all, longest] = words.shape as readonly [number, number];
  const own = words.narrow(0, group.rank * count, count);
  const decoder = words
    .narrow(0, all - 1, 1)
    .narrow(1, 0, 1)
    .expand(count, -1, -1);
  const packing = Packing.of(
    lengths.map((length) => length - 1),
    longest - 1,
    words.device,
  );
  const { text } = model.qformer.encode({
    textEmbeds: packing.pack(cat([decoder, own.narrow(1, 1, longest - 2)], 1)),
    packing,
    attentionMask: captionMask(
      tokens.narrow(0, group.rank * count, count).narrow(1, 1, longest - 1),
      model.config.numQueryTokens,
    ),
    pastKeyValues: queries.keyValues,
  });
  const logits = model.cls.forward(text as Tensor, model.embeddings.wordEmbeddings.weight);
  const targets = packing.pack(batch.inputIds.narrow(1, 1, longest - 1));
  return { loss: tokenLoss(logits, targets, { labelSmoothing }), statistics: captionStatistics(logits, targets) };
}
