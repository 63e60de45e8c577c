import { ArgumentError } from '../../../native/errors.ts';
import type { Tensor } from '../../../tensor/index.ts';
import { type OptConfig, optConfigToJson, parseOptConfig } from '../../opt/config.ts';
import { OptDecoding } from '../../opt/decode.ts';
import { OptForCausalLM } from '../../opt/model.ts';
import type { Language, LanguageInputs, LanguageKind, LanguagePass } from './kind.ts';

const WORDS = 'model.decoder.embed_tokens.weight';
const NOTHING = /(?!)/;

/** OPT: queries and prompt are the beginning of the text, which it goes on with. Prompts of different lengths are padded on the left. */
export const opt = {
  decoderOnly: true,
  // As in the released code, a line break ends captions.
  defaults: { question: 'Question: {} Answer:', batchSize: 1920, captionEnd: '\n' },
  models: {
    'opt-2.7b': { hiddenSize: 2560, numHiddenLayers: 32, numAttentionHeads: 32, ffnDim: 10240 },
    'opt-6.7b': { hiddenSize: 4096, numHiddenLayers: 32, numAttentionHeads: 32, ffnDim: 16384 },
  },
  // The vocabulary is padded to a multiple of 64.
  released: { textConfig: { vocabSize: 50304, eosTokenId: 50118 }, imageTokenIndex: 50265 },
  free: ['maxPositionEmbeddings', 'tieWordEmbeddings', 'initStd'],
  dropouts: ['dropout', 'attentionDropout'],
  parseConfig: parseOptConfig,
  configToJson: optConfigToJson,
  generationConfig: () => ({}),
  width({ hiddenSize, wordEmbedProjDim }) {
    if (wordEmbedProjDim === hiddenSize) return hiddenSize;
    throw new ArgumentError(
      'text_config.word_embed_proj_dim',
      `text_config.hidden_size (${hiddenSize})`,
      String(wordEmbedProjDim),
    );
  },
  positions: ({ maxPositionEmbeddings }) => maxPositionEmbeddings,
  build: (config) => new OptForCausalLM(config),
  language(model): Language {
    return {
      get outputWeight() {
        return model.outputWeight;
      },
      embed: (inputIds) => model.embed(inputIds),
      project: (hidden) => model.project(hidden),
      pass: (inputs) => pass(model, inputs),
      decoding: (embedded, attentionMask) => new OptDecoding(model, embedded, attentionMask),
      start: (inputIds) => inputIds,
    };
  },
  alias({ tieWordEmbeddings }, name): string | undefined {
    if (name === 'lm_head.weight') return tieWordEmbeddings ? WORDS : undefined;
    return name.startsWith('decoder.') ? `model.${name}` : undefined; // as OPTModel saves it
  },
  ignored: NOTHING,
  float32: NOTHING,
} satisfies LanguageKind<OptConfig, OptForCausalLM>;

function pass(model: OptForCausalLM, { embedded, attentionMask, labels, ...decoder }: LanguageInputs): LanguagePass {
  const name = decoder.decoderInputIds !== null ? 'decoderInputIds' : 'decoderAttentionMask';
  if (decoder[name] !== null) throw new ArgumentError(name, 'none, as OPT has no encoder', 'one');
  if (labels !== null) expectLabels(labels, embedded);
  const all = model.forward(embedded, attentionMask);
  if (labels === null) return { hidden: all, targets: null };
  const [count, length] = [labels.size(1), all.size(1)];
  const hidden = count === length ? all : all.narrow(1, length - count, count);
  // The labels move to the left instead of the outputs to the right: shorter outputs would be a copy.
  return { hidden, targets: labels.narrow(1, 1, count - 1).pad([0, 1], -100) };
}

function expectLabels(labels: Tensor, embedded: Tensor): void {
  const [batch, length] = embedded.shape as readonly [number, number, number];
  if (labels.ndim === 2 && labels.size(0) === batch && labels.size(1) <= length) return;
  throw new ArgumentError('labels', `ids [${batch}, at most ${length}]`, `[${labels.shape.join(', ')}]`);
}
