// node checkpoint_roundtrip.mjs CLASS CHECKPOINT INPUTS OUTPUTS SAVED: the part of checkpoint_roundtrip.py that is done in TypeScript.
import * as blip2 from '../../dist/index.js';

const [, , className, checkpoint, inputs, outputs, saved] = process.argv;
const io = blip2.loadSafetensors(inputs);
const Model =
  className === 'Blip2ForConditionalGeneration' ? blip2.Blip2ForConditionalGeneration : blip2.Blip2ForImageTextRetrieval;
const model = Model.fromPretrained(checkpoint);
const batch = {
  pixelValues: io.get('pixel_values'),
  inputIds: io.get('input_ids'),
  attentionMask: io.get('attention_mask'),
};
blip2.inferenceMode(() =>
  blip2.scope(() => {
    const results =
      className === 'Blip2ForConditionalGeneration'
        ? { logits: model.forward(batch).logits }
        : {
            itc: model.forward(batch).logitsPerImage,
            itm: model.forward({ ...batch, useImageTextMatchingHead: true }).logitsPerImage,
          };
    blip2.saveSafetensors(outputs, results);
  }),
);
model.savePretrained(saved);
