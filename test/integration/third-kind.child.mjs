// Does with a third kind of language model what is done with the others: node third-kind.child.mjs <package> <fixtures>
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, fixtures] = process.argv.slice(2);
const b = await import(pathToFileURL(path.join(folder, 'dist/index.js')));
const { languageKind } = await import(pathToFileURL(path.join(folder, 'dist/models/blip2/language/kinds.js')));
b.setThreads(1);
const at = (...names) => path.join(folder, 'world', ...names);
const drawn = (seed, build) => b.building({ generator: new b.Generator(seed) }, build);
const photos = ['chelsea.png', 'coffee.png'].map((name) => path.join(fixtures, 'photos', name));
const close = (a, c) => assert(Math.abs(a - c) <= 1e-5 * Math.max(1, Math.abs(c)), `${a} is not ${c}`);

// Its folder: config.json, weights (the table of words under another name, and a needless tensor), tokenizer.
fs.mkdirSync(at('gpt'), { recursive: true });
for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
  fs.copyFileSync(path.join(fixtures, 'text/opt', name), at('gpt', name));
}
const { vocabSize } = b.Tokenizer.fromPretrained(at('gpt'));
const kind = languageKind('gpt');
const shape = { n_embd: 24, n_layer: 2, n_head: 2, n_positions: 90, bos_token_id: 2, eos_token_id: 2, pad_token_id: 1 };
const config = kind.parseConfig({ ...shape, vocab_size: vocabSize + 3 });
const gpt = drawn(3, () => kind.build(config)).eval();
b.noGrad(() => b.scope(() => gpt.parameters().map((weight) => weight.mul_(8))));
const words = 'transformer.model.decoder.embed_tokens.weight';
const files = [...gpt.stateDict()].map(([name, value]) => [name === words ? 'lm_head.weight' : name, value]);
b.saveSafetensors(at('gpt/model.safetensors'), new Map([...files, ['h.0.attn.masked_bias', b.ones([1])]]));
fs.writeFileSync(at('gpt/config.json'), JSON.stringify(kind.configToJson(config)));
assert.equal(b.readLanguageConfig(at('gpt')).modelType, 'gpt');
const loaded = b.loadLanguageModel(at('gpt'), { shape: { ...config, nPositions: 64, residPdrop: 0.5 } });
for (const [name, value] of gpt.stateDict()) assert(value.equal(loaded.stateDict().get(name)), name);
assert.throws(
  () => b.loadLanguageModel(at('gpt'), { shape: { ...config, nLayer: 3 } }),
  /3, as the wanted shape has it, for nLayer/,
);

// The second stage: by name, by shape, by folder; two steps of it.
const named = b.stage2({ vision: 'eva-vit-g', languageModel: 'gpt-large' });
assert.deepEqual([named.languageModel.nEmbd, named.batchSize, named.text.end], [1280, 640, '.']);
assert.throws(
  () => b.stage2({ vision: 'eva-vit-g', languageModel: 7 }),
  /"gpt-large", .*\{ modelType: "gpt" \| "opt" \| "t5", … \}/,
);
const small = { hiddenSize: 16, numAttentionHeads: 2, intermediateSize: 32, numHiddenLayers: 2 };
const settings = {
  vision: { architecture: 'eva', config: { ...small, imageSize: 28, patchSize: 14, initializerRange: 0.3 } },
  visionDtype: 'float32',
  languageModelDtype: 'float32',
  languageModelDropout: true,
  precision: 'float32',
  model: { numQueryTokens: 4, initializerRange: 0.3, qformerConfig: small },
  steps: 2,
  batchSize: 2,
  schedule: { warmupSteps: 1, peak: 1e-2 },
};
const recipe = b.stage2({ ...settings, languageModel: at('gpt') });
assert.deepEqual(b.stage2({ ...settings, languageModel: config }), recipe);
assert.throws(() => b.stage2({ ...settings, languageModel: config, text: { maxLength: 87 } }), /from 2 to 86, the positions/);
const tower = drawn(5, () => new b.VisionModel(recipe.vision.config));
b.saveSafetensors(at('tower.safetensors'), tower.stateDict());
const trained = b.newStage2Model(recipe);
const tokenizer = b.Tokenizer.fromPretrained(at('gpt'));
const pixelValues = b.randn([2, 3, 28, 28], { generator: new b.Generator(6) });
const captions = ['a cat', 'a cup of coffee on a table'];
const before = gpt.stateDict().get(words).clone();
const result = await b
  .stage2Trainer(recipe, {
    model: trained,
    languageModel: gpt,
    encoder: new b.FrozenEncoder(tower),
    tokenizer,
    data: () => ({
      next: async () => ({ done: false, value: { captions, pixelValues } }),
      state: () => 0,
      close: async () => {},
    }),
    directory: at('run'),
    resume: false,
    logs: [new b.JsonLinesLog(at('log.jsonl'))],
  })
  .run();
assert.equal(result.step, 2);
const logged = fs
  .readFileSync(at('log.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
assert(logged.length > 0 && logged.every(({ losses }) => losses.lm > 0));
assert(gpt.stateDict().get(words).equal(before));
assert(gpt.parameters().every(({ grad, requiresGrad }) => grad === null && !requiresGrad));

// LAVIS's names are made of the kind's.
b.saveLavis(trained, at('lavis.safetensors'), { languageModel: 'gpt' });
const lavis = b.openSafetensors(at('lavis.safetensors'));
assert(lavis.names.includes('gpt_proj.weight'));
lavis.close();
const again = b.newStage2Model(recipe);
b.loadTrainedParts(again, at('lavis.safetensors'));
for (const [name, value] of trained.stateDict()) assert(value.equal(again.stateDict().get(name)), name);

// The whole model: exported, loaded again, and the same as an OPT of the same weights.
const whole = b.loadStage2({ checkpoint: at('run'), visionWeights: at('tower.safetensors'), languageModel: at('gpt') });
b.exportStage2(whole, at('whole'));
const model = b.Blip2ForConditionalGeneration.fromPretrained(at('whole'));
const json = JSON.parse(fs.readFileSync(at('whole/config.json'), 'utf8'));
assert.deepEqual([json.text_config.model_type, json.text_config.n_positions], ['gpt', 90]);
assert.deepEqual([json.use_decoder_only_language_model, json.text_config.resid_pdrop], [true, 0.1]);
assert.deepEqual(b.blip2ConfigToJson(b.parseBlip2Config(json)), b.blip2ConfigToJson(model.config));
const { textConfig, ...others } = model.config;
const { padTokenId, bosTokenId, eosTokenId } = textConfig;
const inner = { ...model.languageModel.transformer.config, padTokenId, bosTokenId, eosTokenId };
const opt = new b.Blip2ForConditionalGeneration({ ...others, textConfig: inner }).eval();
opt.loadStateDict(new Map([...model.stateDict()].map(([name, value]) => [name.replace('.transformer.', '.'), value])));
const processor = b.Blip2Processor.fromPretrained(at('whole'));
const text = ['Q: what is it? A:', 'Q: what colour is the cup on the table? A:'];
const inputs = await processor.preprocess({ images: photos, text }, { paddingSide: 'left' });
const labels = inputs.inputIds.where(inputs.attentionMask.bool(), b.full([], -100, { dtype: 'int64' }));
const [one, other] = [model, opt].map((each) => each.forward({ ...inputs, labels }));
close(one.loss.item(), other.loss.item());
assert(one.loss.item() > 0.1);
const written = [];
for (const each of [model, opt]) {
  const { sequences } = await each.generate(inputs, { numBeams: 3, maxNewTokens: 6, minNewTokens: 3 });
  written.push(sequences.toArray());
}
assert.deepEqual(written[0], written[1]);
const scores = await Promise.all([model, opt].map((each) => each.score(inputs, [[[7, 8]], [[9]]])));
for (const i of [0, 1]) close(scores[0][i][0], scores[1][i][0]);
// A row alone is as in its batch.
const alone = await processor.preprocess({ images: photos[0], text: text[0] });
const { sequences } = await model.generate(alone, { numBeams: 3, maxNewTokens: 6, minNewTokens: 3 });
const length = alone.inputIds.size(1);
assert.deepEqual(
  sequences.toArray()[0].slice(length),
  written[0][0].slice(inputs.inputIds.size(1)).slice(0, sequences.size(1) - length),
);

// For applications.
const blip2 = await b.Blip2.fromPretrained(at('whole'), { threads: 1 });
assert.deepEqual([blip2.languageModel, blip2.promptRoom(10)], ['gpt', 80]);
assert.equal(b.answerTemplates.gpt, 'Q: {} A:');
const options = { maxNewTokens: 5, minNewTokens: 3 };
const answer = await blip2.answer(photos[0], 'what is it?', options);
assert.equal(answer, await blip2.caption(photos[0], { prompt: 'Q: what is it? A:', lengthPenalty: -1, ...options }));
assert.notEqual(answer, '');
const ranked = await blip2.rank(photos[0], 'what is it?', ['a cat', 'a cup']);
close(ranked[0].probability + ranked[1].probability, 1);
await blip2.close();
process.stdout.write('all as with the others\n');
