import { ArgumentError } from '../../../native/errors.ts';
import { full, scope, type Tensor, type TensorFile } from '../../../tensor/index.ts';
import { parseT5Config, type T5Config, t5ConfigToJson } from '../../t5/config.ts';
import { T5Decoding } from '../../t5/decode.ts';
import { T5ForConditionalGeneration } from '../../t5/model.ts';
import type { Language, LanguageInputs, LanguageKind, LanguagePass } from './kind.ts';

const HEAD = 'lm_head.weight';
const WORDS = 'shared.weight';

/** Flan-T5: gated with the exact gelu, an output table of its own, output not scaled. */
const flan = {
  numLayers: 24,
  denseActFn: 'gelu',
  isGatedAct: true,
  scaleDecoderOutputs: false,
  tieWordEmbeddings: false,
  bosTokenId: 1,
} satisfies Partial<T5Config>;

/**
 * T5: its encoder reads queries and prompt, its decoder writes. Prompts of different lengths are padded on the right: positions are relative,
 * and padding between queries and words would move them apart.
 */
export const t5 = {
  decoderOnly: false,
  defaults: { question: 'Question: {} Short answer:', batchSize: 1520, captionEnd: '' },
  models: {
    'flan-t5-xl': { ...flan, dModel: 2048, dFf: 5120, numHeads: 32 },
    'flan-t5-xxl': { ...flan, dModel: 4096, dFf: 10240, numHeads: 64 },
  },
  released: { textConfig: {}, imageTokenIndex: 32100 },
  free: ['tieWordEmbeddings', 'initializerFactor'],
  dropouts: ['dropoutRate'],
  parseConfig: parseT5Config,
  configToJson: t5ConfigToJson,
  generationConfig: ({ decoderStartTokenId }) => ({ decoder_start_token_id: decoderStartTokenId }),
  width: ({ dModel }) => dModel,
  positions: () => null,
  build: (config) => new T5ForConditionalGeneration(config),
  language(model): Language {
    const { decoderStartTokenId } = model.config;
    return {
      get outputWeight() {
        return model.outputWeight;
      },
      embed: (inputIds) => model.embed(inputIds),
      project: (hidden) => model.project(hidden),
      pass: (inputs) => pass(model, inputs),
      decoding: (embedded, attentionMask) => new T5Decoding(model, embedded, attentionMask),
      start: ({ shape, device }) => full([shape[0] as number, 1], decoderStartTokenId, { dtype: 'int64', device }),
    };
  },
  alias({ tieWordEmbeddings }, name): string | undefined {
    if (name === HEAD) return tieWordEmbeddings ? WORDS : undefined;
    return /^(encoder|decoder)\.embed_tokens\.weight$/.test(name) ? WORDS : undefined;
  },
  // A table that early files have too many.
  ignored: /(^|\.)decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$/,
  float32: /(^|\.)wo\.weight$/,
  // Configurations do not say whether there is another output table: Hugging Face looks into the file.
  complete(config, file, prefix): T5Config {
    const [head, words] = [prefix + HEAD, prefix + WORDS];
    return { ...config, tieWordEmbeddings: !file.has(head) || isSame(file, head, words) };
  },
  // LAVIS sets the exact gelu over the approximation that Flan-T5's own files say.
  adapt: (config, { denseActFn }): T5Config => ({ ...config, denseActFn }),
} satisfies LanguageKind<T5Config, T5ForConditionalGeneration>;

function isSame(file: TensorFile, a: string, b: string): boolean {
  if (!file.has(b)) return false;
  const [one, other] = [file.info(a), file.info(b)];
  if (one.dtype !== other.dtype || one.shape.join() !== other.shape.join()) return false;
  return scope(() => file.get(a).equal(file.get(b)));
}

function pass(model: T5ForConditionalGeneration, inputs: LanguageInputs): LanguagePass {
  const { embedded, attentionMask, labels, decoderAttentionMask } = inputs;
  const decoderInputIds = inputs.decoderInputIds ?? (labels === null ? null : model.shiftRight(rows('labels', labels, embedded)));
  if (decoderInputIds === null) throw new ArgumentError('decoderInputIds', 'ids, where there are no labels', 'none');
  rows('decoderInputIds', decoderInputIds, embedded);
  if (labels !== null && labels.shape.join() !== decoderInputIds.shape.join()) {
    throw new ArgumentError('labels', `ids [${decoderInputIds.shape.join(', ')}]`, `[${labels.shape.join(', ')}]`);
  }
  const encoded = model.encode(embedded, attentionMask);
  return { hidden: model.decode(decoderInputIds, encoded, attentionMask, decoderAttentionMask), targets: labels };
}

/** Ids, once they are `[B, T]`. */
function rows(name: string, ids: Tensor, embedded: Tensor): Tensor {
  if (ids.ndim === 2 && ids.size(0) === embedded.size(0) && ids.size(1) > 0) return ids;
  throw new ArgumentError(name, `ids [${embedded.size(0)}, T]`, `[${ids.shape.join(', ')}]`);
}
