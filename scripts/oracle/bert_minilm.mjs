// node bert_minilm.mjs BERT INPUTS OUTPUTS: the part of bert_minilm.py that is done in TypeScript.
import * as blip2 from '../../dist/index.js';

const [, , folder, inputs, outputs] = process.argv;
const io = blip2.loadSafetensors(inputs);
const config = blip2.bertQFormerConfig(folder);
const model = blip2.building({ generator: new blip2.Generator(0) }, () =>
  new blip2.Blip2ForImageTextRetrieval(
    blip2.blip2Config({
      visionConfig: {
        hiddenSize: 64,
        intermediateSize: 64,
        numHiddenLayers: 1,
        numAttentionHeads: 4,
        imageSize: 28,
        patchSize: 14,
      },
      qformerConfig: config,
    }),
  ).eval(),
);
const { fresh } = blip2.initFromBert(model, folder);
console.log(
  `${fresh.length} parameters keep their random values, such as ${fresh.filter((name) => name.startsWith('qformer')).at(0)}`,
);
blip2.inferenceMode(() =>
  blip2.scope(() => {
    const { lastHiddenState } = model.encodeTexts(io.get('ids'), io.get('mask'));
    const query = model.qformer.encoder.layer.map((layer, i) => [`query.${i}`, layer.intermediateQuery.dense.weight]);
    blip2.saveSafetensors(outputs, {
      hidden: lastHiddenState,
      words: model.embeddings.wordEmbeddings.weight,
      ...Object.fromEntries(query),
    });
  }),
);
