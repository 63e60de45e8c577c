import { ImageProcessor, Tokenizer } from '../data/index.ts';
import { Blip2ForImageTextRetrieval } from '../models/blip2/retrieval.ts';
import type { CrossKeyValues } from '../models/qformer/model.ts';
import { inferenceMode, keep, scope, type Tensor } from '../tensor/index.ts';
import { loadOptions, type WorkerSettings } from './protocol.ts';
import type { MatchRequest, MatchScores } from './retrieval.ts';
import { type CallContext, parts, type Service, toDevice, turn } from './serve.ts';

/** Texts are cut to this many tokens, as LAVIS does for matching. */
const MAX_TEXT_LENGTH = 32;

interface TextBatch {
  inputIds: Tensor;
  attentionMask: Tensor;
}

/** Matches and embeds with a retrieval checkpoint. */
export function retrievalService(settings: WorkerSettings): Service {
  const { directory } = settings;
  const images = ImageProcessor.fromPretrained(directory);
  const tokenizer = Tokenizer.fromPretrained(directory);
  const model = Blip2ForImageTextRetrieval.fromPretrained(directory, loadOptions(settings));
  const { device } = model.itmHead.weight;

  const tokens = (texts: readonly string[]): TextBatch => {
    const batch = tokenizer.encode(texts, {
      padding: 'longest',
      truncation: true,
      maxLength: MAX_TEXT_LENGTH,
      paddingSide: 'right',
    });
    const { inputIds, attentionMask } = batch.toTensors();
    return { inputIds: inputIds.to({ device }), attentionMask: attentionMask.to({ device }) };
  };

  /** Pixels of some pictures, on the model's device; the caller's to dispose of. */
  const pixels = async (sources: MatchRequest['images']): Promise<Tensor> =>
    toDevice(await images.preprocess(sources), device, model.visionModel.postLayernorm.weight?.dtype);

  const encodeTexts = (texts: readonly string[]): Float32Array[] =>
    inferenceMode(() =>
      scope(() => {
        const { inputIds, attentionMask } = tokens(texts);
        const { textEmbeds } = model.encodeTexts(inputIds, attentionMask, { classOnly: true });
        return rows(textEmbeds.select(1, 0));
      }),
    );

  const encodePictures = async (sources: MatchRequest['images']): Promise<Pictures> => {
    using pixelValues = await pixels(sources);
    return inferenceMode(() =>
      scope(() => {
        const { imageEmbeds, lastHiddenState } = model.encodeImages(pixelValues);
        return new Pictures(keep(imageEmbeds), model.qformer.crossKeyValues(lastHiddenState));
      }),
    );
  };

  /** Scores of every picture with every text, `[picture][text]`. */
  const matchAll = (pictures: Pictures, texts: readonly string[]): MatchScores[][] =>
    inferenceMode(() =>
      scope(() => {
        const { inputIds, attentionMask } = tokens(texts);
        const { textEmbeds } = model.encodeTexts(inputIds, attentionMask, { classOnly: true });
        const itc = similarities(pictures.embeds, textEmbeds.select(1, 0));
        return itc.map((cosines, i) => {
          const logits = model.match({ imageKeyValues: pictures.only(i, texts.length) }, inputIds, attentionMask).float();
          const itmLogits = logits.select(1, 1).toArray() as number[];
          const itm = logits.softmax(-1).select(1, 1).toArray() as number[];
          return cosines.map((cosine, t) => ({ itm: itm[t] as number, itmLogit: itmLogits[t] as number, itc: cosine }));
        });
      }),
    );

  const calls = {
    async encodeTexts({ texts, batchSize }: MatchRequest, { signal }: CallContext): Promise<Float32Array[]> {
      const features: Float32Array[] = [];
      for (const part of parts(texts, batchSize)) {
        features.push(...encodeTexts(part));
        await turn(signal);
      }
      return features;
    },

    async encodeImages(request: MatchRequest, { signal }: CallContext): Promise<Float32Array[][]> {
      const features: Float32Array[][] = [];
      for (const part of parts(request.images, request.batchSize)) {
        using pixelValues = await pixels(part);
        inferenceMode(() =>
          scope(() => {
            const { imageEmbeds } = model.encodeImages(pixelValues);
            features.push(...imageEmbeds.unbind(0).map(rows));
          }),
        );
        await turn(signal);
      }
      return features;
    },

    async match({ images: sources, texts, batchSize }: MatchRequest, { signal }: CallContext): Promise<MatchScores[][]> {
      const scores: MatchScores[][] = [];
      for (const part of parts(sources, batchSize)) {
        using pictures = await encodePictures(part);
        const partScores: MatchScores[][] = part.map(() => []);
        for (const some of parts(texts, batchSize)) {
          for (const [i, row] of matchAll(pictures, some).entries()) partScores[i]?.push(...row);
          await turn(signal);
        }
        scores.push(...partScores);
      }
      return scores;
    },
  };
  return { calls, dispose: () => model.dispose() };
}

/** What is made once of some pictures, for all texts: embeddings, and keys and values of the cross-attentions. */
class Pictures {
  readonly embeds: Tensor;
  readonly #keyValues: CrossKeyValues;

  constructor(embeds: Tensor, keyValues: CrossKeyValues) {
    this.embeds = embeds;
    this.#keyValues = keyValues;
    for (const layer of keyValues) if (layer !== undefined) [layer.key, layer.value].forEach(keep);
  }

  /** Keys and values of one picture, for several texts. */
  only(picture: number, texts: number): CrossKeyValues {
    const spread = (x: Tensor): Tensor => x.narrow(0, picture, 1).expand(texts, -1, -1, -1);
    return this.#keyValues.map((layer) => layer && { key: spread(layer.key), value: spread(layer.value) });
  }

  [Symbol.dispose](): void {
    this.embeds.dispose();
    for (const layer of this.#keyValues) {
      layer?.key.dispose();
      layer?.value.dispose();
    }
  }
}

/** The greatest cosine of any query, `[B, T]`. */
function similarities(imageEmbeds: Tensor, textEmbeds: Tensor): number[][] {
  return imageEmbeds.matmul(textEmbeds.transpose(0, 1)).amax(1).toArray() as number[][];
}

/** The rows of a matrix. */
function rows(matrix: Tensor): Float32Array[] {
  const width = matrix.size(1);
  const data = matrix.float().data() as Float32Array;
  return Array.from({ length: matrix.size(0) }, (_, i) => data.slice(i * width, (i + 1) * width));
}
