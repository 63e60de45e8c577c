import path from 'node:path';
import { parseQFormerConfig } from '../../src/models/qformer/config.ts';
import { QFormerEmbeddings } from '../../src/models/qformer/embeddings.ts';
import { QFormerLmHead } from '../../src/models/qformer/lm-head.ts';
import { captionMask, contrastMask, matchingMask, unifiedMask } from '../../src/models/qformer/masks.ts';
import { QFormerModel } from '../../src/models/qformer/model.ts';
import { fromLavisName } from '../../src/models/qformer/weights.ts';
import { initZeros, Linear, Module, type Parameter, parameter } from '../../src/nn/index.ts';
import { cat, inferenceMode, loadSafetensors, ones, scope, type Tensor } from '../../src/tensor/index.ts';
import { expectClose } from '../closeness.ts';

// Goldens: LAVIS's Q-Former in its first stage, frozen image features to every intermediate result.

const folder = path.join(import.meta.dirname, '../fixtures/stage1-plain');
const batch = loadSafetensors(path.join(folder, 'batch.safetensors'));
const golden = (name: string): Tensor => batch.get(name) as Tensor;

const config = parseQFormerConfig(
  {
    vocab_size: 97,
    hidden_size: 48,
    num_hidden_layers: 4,
    num_attention_heads: 4,
    intermediate_size: 96,
    max_position_embeddings: 40,
    use_qformer_text_input: true,
  },
  40,
);
const [QUERIES, LENGTH, FEATURES, DEC] = [6, 12, 16, 96];

/** All that the first stage trains. */
class Stage1 extends Module {
  readonly queryTokens: Parameter = parameter([1, QUERIES, 48], initZeros);
  readonly embeddings = new QFormerEmbeddings(config);
  readonly qformer = new QFormerModel(config);
  readonly cls = new QFormerLmHead(config);
  readonly visionProjection = new Linear(48, FEATURES);
  readonly textProjection = new Linear(48, FEATURES);
  readonly itmHead = new Linear(48, 2);
  readonly temp: Parameter = parameter([], initZeros);
}

const model = new Stage1().eval();
const weights = [...loadSafetensors(path.join(folder, 'weights.safetensors'))];
model.loadStateDict(new Map(weights.map(([name, value]) => [fromLavisName(name) as string, value])));

const normalized = (x: Tensor): Tensor => x.div(x.norm(2, -1, true));
const image = golden('image_embeds');
const ids = golden('input_ids');
const mask = golden('attention_mask');

/** The ids with [DEC] in place of [CLS]. */
function decoderIds(): Tensor {
  const changed = ids.clone();
  changed.select(1, 0).fill_(DEC);
  return changed;
}

function run(body: () => void): void {
  inferenceMode(() => scope(body));
}

test('image-text contrast: queries alone, text alone', () => {
  run(() => {
    const queries = model.qformer.forward({ queryEmbeds: model.queryTokens, encoderHiddenStates: image }).lastHiddenState;
    expectClose(queries, golden('query_output'));
    expectClose(normalized(model.visionProjection.forward(queries)), golden('image_feats'));
    const text = model.qformer.forward({ textEmbeds: model.embeddings.forward(ids), attentionMask: contrastMask(mask) });
    expectClose(text.lastHiddenState, golden('text_output'));
    expectClose(normalized(model.textProjection.forward(text.lastHiddenState.select(1, 0))), golden('text_feat'));
  });
});

test('image-text matching: queries and text, with mined negatives', () => {
  run(() => {
    const texts = cat([ids, ids, ids.indexSelect(0, golden('neg_text_index'))]);
    const masks = cat([mask, mask, mask.indexSelect(0, golden('neg_text_index'))]);
    const images = cat([image, image.indexSelect(0, golden('neg_image_index')), image]);
    const { lastHiddenState } = model.qformer.forward({
      queryEmbeds: model.queryTokens,
      textEmbeds: model.embeddings.forward(texts),
      attentionMask: matchingMask(masks, QUERIES),
      encoderHiddenStates: images,
    });
    expectClose(lastHiddenState, golden('itm_hidden'));
    expectClose(model.itmHead.forward(lastHiddenState.narrow(1, 0, QUERIES)).mean(1), golden('itm_logits'));
  });
});

test('image-grounded text generation: text over cached queries', () => {
  run(() => {
    const words = model.embeddings.wordEmbeddings.weight;
    const cached = model.qformer.forward({ queryEmbeds: model.queryTokens, encoderHiddenStates: image, cache: true });
    const { lastHiddenState } = model.qformer.forward({
      textEmbeds: model.embeddings.forward(decoderIds()),
      attentionMask: captionMask(mask, QUERIES),
      pastKeyValues: cached.keyValues,
    });
    expectClose(model.cls.forward(lastHiddenState, words), golden('lm_logits'));
  });
});

test('the cached pass is the single pass under the mask of UniLM', () => {
  run(() => {
    const textEmbeds = model.embeddings.forward(decoderIds());
    const encoderKeyValues = model.qformer.crossKeyValues(image);
    const single = model.qformer.forward({
      queryEmbeds: model.queryTokens,
      textEmbeds,
      attentionMask: unifiedMask(mask, QUERIES),
      encoderKeyValues,
    }).lastHiddenState;
    expectClose(single.narrow(1, 0, QUERIES), golden('query_output'));
    const { keyValues } = model.qformer.forward({ queryEmbeds: model.queryTokens, encoderKeyValues, cache: true });
    const cached = model.qformer.forward({ textEmbeds, attentionMask: captionMask(mask, QUERIES), pastKeyValues: keyValues });
    expectClose(single.narrow(1, QUERIES, LENGTH), cached.lastHiddenState, 2e-6);
  });
});

test('a token at a time over what is cached', () => {
  run(() => {
    const decoder = decoderIds();
    let { keyValues } = model.qformer.forward({ queryEmbeds: model.queryTokens, encoderHiddenStates: image, cache: true });
    const steps: Tensor[] = [];
    const whole = ones([5, LENGTH], { dtype: 'int64' });
    for (let past = 0; past < LENGTH; past++) {
      const step = model.qformer.forward({
        textEmbeds: model.embeddings.forward(decoder.narrow(1, past, 1), past),
        attentionMask: captionMask(whole.narrow(1, 0, past + 1), QUERIES, past),
        pastKeyValues: keyValues,
        cache: true,
      });
      keyValues = step.keyValues;
      steps.push(model.cls.forward(step.lastHiddenState, model.embeddings.wordEmbeddings.weight));
    }
    // Padding stands behind the text, so what comes before it does not know of it.
    const real = golden('attention_mask').unsqueeze(-1);
    expectClose(cat(steps, 1).mul(real), golden('lm_logits').mul(real));
  });
});
