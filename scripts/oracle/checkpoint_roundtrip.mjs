// node checkpoint_roundtrip.mjs CLASS CHECKPOINT INPUTS OUTPUTS [SAVED]: the part of checkpoint_roundtrip.py that is done in TypeScript.
import * as blip2 from '../../dist/index.js';

const [, , className, checkpoint, inputs, outputs, saved] = process.argv;
const io = blip2.loadSafetensors(inputs);

const passes = {
  Blip2ForConditionalGeneration(batch) {
    const model = blip2.Blip2ForConditionalGeneration.fromPretrained(checkpoint);
    return [model, () => ({ logits: model.forward(batch).logits })];
  },
  Blip2ForImageTextRetrieval(batch) {
    const model = blip2.Blip2ForImageTextRetrieval.fromPretrained(checkpoint);
    const itm = () => model.forward({ ...batch, useImageTextMatchingHead: true }).logitsPerImage;
    return [model, () => ({ itc: model.forward(batch).logitsPerImage, itm: itm() })];
  },
  OPTForCausalLM({ inputIds }) {
    const model = blip2.loadLanguageModel(checkpoint);
    return [model, () => ({ logits: model.project(model.forward(model.embed(inputIds), null)) })];
  },
  OPTModel({ inputIds }) {
    const model = blip2.loadLanguageModel(checkpoint);
    return [model, () => ({ logits: model.forward(model.embed(inputIds), null) })];
  },
  T5ForConditionalGeneration({ inputIds }) {
    const model = blip2.loadLanguageModel(checkpoint);
    const decoderIds = inputIds.narrow(1, 0, 3);
    return [model, () => ({ logits: model.project(model.forward(model.embed(inputIds), null, decoderIds)) })];
  },
};

const [model, run] = passes[className]({
  pixelValues: io.get('pixel_values'),
  inputIds: io.get('input_ids'),
  attentionMask: io.get('attention_mask'),
  decoderInputIds: io.get('decoder_input_ids'),
});
blip2.inferenceMode(() => blip2.scope(() => blip2.saveSafetensors(outputs, run())));
if (saved !== undefined) model.savePretrained(saved);
