import path from 'node:path';
import { Blip2ForImageTextRetrieval } from '../../src/models/blip2/retrieval.ts';
import { retrievalRules } from '../../src/models/blip2/weights.ts';
import { loadWeights } from '../../src/models/checkpoint.ts';
import { cat, full, inferenceMode, loadSafetensors, ones, scope, type Tensor } from '../../src/tensor/index.ts';
import { expectClose } from '../closeness.ts';

// Goldens: scripts/oracle/hf_goldens.py, Hugging Face's Blip2ForImageTextRetrieval.

const folder = path.join(import.meta.dirname, '../fixtures/hf/itm');
const io = loadSafetensors(path.join(folder, 'io.safetensors'));
const golden = (name: string): Tensor => io.get(name) as Tensor;
const model = Blip2ForImageTextRetrieval.fromPretrained(folder);

const inputs = {
  pixelValues: golden('pixel_values'),
  inputIds: golden('input_ids'),
  attentionMask: golden('attention_mask'),
};

test('image-text contrast', () => {
  inferenceMode(() =>
    scope(() => {
      const output = model.forward(inputs);
      expectClose(output.logitsPerImage, golden('itc_logits_per_image'));
      expectClose(output.logitsPerText, golden('itc_logits_per_image').transpose(0, 1));
      expectClose(output.imageEmbeds, golden('image_embeds'));
      expectClose(output.textEmbeds, golden('text_embeds'));
    }),
  );
});

test('image-text matching', () => {
  inferenceMode(() =>
    scope(() => {
      const output = model.forward({ ...inputs, useImageTextMatchingHead: true });
      expectClose(output.logitsPerImage, golden('itm_logits_per_image'));
    }),
  );
});

test('with an image token in the configuration, ids and mask carry image tokens and the results stay', () => {
  const withTokens = new Blip2ForImageTextRetrieval({ ...model.config, imageTokenIndex: 100 }).eval();
  loadWeights(withTokens, folder, retrievalRules, 'float32');
  inferenceMode(() =>
    scope(() => {
      const shape = [3, model.config.numQueryTokens];
      const longer = {
        pixelValues: inputs.pixelValues,
        inputIds: cat([full(shape, 100, { dtype: 'int64' }), inputs.inputIds], 1),
        attentionMask: cat([ones(shape, { dtype: 'int64' }), inputs.attentionMask], 1),
      };
      expectClose(withTokens.forward(longer).logitsPerImage, golden('itc_logits_per_image'));
      const matched = withTokens.forward({ ...longer, useImageTextMatchingHead: true });
      expectClose(matched.logitsPerImage, golden('itm_logits_per_image'));
    }),
  );
});

test('features for later use: every token of a text, keys and values of a picture', () => {
  inferenceMode(() =>
    scope(() => {
      const { textEmbeds } = model.encodeTexts(inputs.inputIds, inputs.attentionMask);
      expect(textEmbeds.shape).toEqual([3, 8, 20]);
      expectClose(textEmbeds.select(1, 0), golden('text_embeds'));
      const { imageEmbeds, lastHiddenState } = model.encodeImages(inputs.pixelValues);
      expectClose(imageEmbeds, golden('image_embeds'));
      const imageKeyValues = model.qformer.crossKeyValues(lastHiddenState);
      expectClose(model.match({ imageKeyValues }, inputs.inputIds, inputs.attentionMask), golden('itm_logits_per_image'));
    }),
  );
});
