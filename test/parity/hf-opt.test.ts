import path from 'node:path';
import { Blip2ForConditionalGeneration } from '../../src/models/blip2/model.ts';
import type { OptForCausalLM } from '../../src/models/opt/model.ts';
import { inferenceMode, loadSafetensors, scope, type Tensor } from '../../src/tensor/index.ts';
import { expectClose, expectGradientClose } from '../closeness.ts';

// Goldens: scripts/oracle/hf_goldens.py, Hugging Face's Blip2ForConditionalGeneration with OPT.

const folder = path.join(import.meta.dirname, '../fixtures/hf/opt');
const io = loadSafetensors(path.join(folder, 'io.safetensors'));
const golden = (name: string): Tensor => io.get(name) as Tensor;
const model = Blip2ForConditionalGeneration.fromPretrained(folder);

const inputs = {
  pixelValues: golden('pixel_values'),
  inputIds: golden('input_ids'),
  attentionMask: golden('attention_mask'),
  labels: golden('labels'),
};

test('logits, loss and what lies before the language model', () => {
  inferenceMode(() =>
    scope(() => {
      const output = model.forward(inputs);
      expectClose(output.logits, golden('logits'));
      expectClose(output.loss as Tensor, golden('loss').squeeze(0));
      expectClose(output.imageEmbeds, golden('vision_last_hidden_state'));
      expectClose(output.queryOutput, golden('qformer_last_hidden_state'));
      expectClose(output.languageModelInputs, golden('projected'));
      expectClose(model.visionModel.pool(output.imageEmbeds), golden('vision_pooler_output'));
    }),
  );
});

test('the pieces that decoding uses give the same', () => {
  inferenceMode(() =>
    scope(() => {
      const projected = model.encodeImages(inputs.pixelValues);
      expectClose(projected, golden('projected'));
      const embedded = model.embedPrompt(inputs.inputIds, projected);
      const opt = model.languageModel as OptForCausalLM;
      expectClose(opt.project(opt.forward(embedded, inputs.attentionMask)), golden('logits'));
    }),
  );
});

test('a larger picture, its positions interpolated', () => {
  inferenceMode(() =>
    scope(() => {
      const { lastHiddenState } = model.visionModel.forward(golden('big_pixel_values'), { interpolatePosEncoding: true });
      expectClose(lastHiddenState, golden('big_vision_last_hidden_state'));
    }),
  );
});

test('gradients of the loss', () => {
  scope(() => (model.forward(inputs).loss as Tensor).backward());
  const names = [...io.keys()].filter((name) => name.startsWith('grad.'));
  expect(names).toHaveLength(5);
  const parameters = model.namedParameters();
  scope(() => {
    for (const name of names) {
      const parameter = parameters.get(name.slice('grad.'.length));
      expectGradientClose(parameter?.grad as Tensor, golden(name));
    }
  });
});
