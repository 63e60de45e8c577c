import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  ArgumentError,
  assembleStage2,
  Blip2ForConditionalGeneration,
  Blip2Processor,
  building,
  CheckpointFolder,
  exportStage2,
  FileError,
  Generator,
  inferenceMode,
  type LanguageModel,
  loadLanguageModel,
  loadStage2,
  newStage2Model,
  OptForCausalLM,
  optConfigToJson,
  randn,
  type Stage2Recipe,
  saveLavis,
  saveSafetensors,
  scope,
  setThreads,
  stage2,
  type T5Config,
  T5ForConditionalGeneration,
  Tokenizer,
  t5ConfigToJson,
  tensor,
  VisionModel,
} from '../../src/index.ts';
import { expectClose, expectEqual } from '../closeness.ts';

beforeAll(() => setThreads(1));

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-export-'));
afterAll(() => fs.rmSync(root, { recursive: true }));

const shape = { hiddenSize: 16, numAttentionHeads: 2, intermediateSize: 32, numHiddenLayers: 2 };
const TEXT = path.join(import.meta.dirname, '../fixtures/text');

/** A run of the second stage with a tower and a language model in folders, as a user has them. */
function files(kind: 'opt' | 't5', room = 1) {
  const folder = fs.mkdtempSync(path.join(root, `${kind}-`));
  const llm = path.join(folder, 'llm');
  fs.cpSync(path.join(TEXT, kind), llm, { recursive: true });
  const vocabSize = Tokenizer.fromPretrained(llm).vocabSize + room;
  const recipe = stage2({
    vision: { architecture: 'eva', config: { ...shape, imageSize: 28, initializerRange: 0.3 } },
    visionDtype: 'float32',
    languageModelDtype: 'float32',
    languageModel:
      kind === 'opt'
        ? {
            modelType: 'opt',
            vocabSize,
            hiddenSize: 24,
            wordEmbedProjDim: 24,
            numHiddenLayers: 1,
            numAttentionHeads: 2,
            ffnDim: 32,
            initStd: 0.3,
          }
        : { modelType: 't5', vocabSize, dModel: 24, dKv: 8, dFf: 32, numLayers: 1, numHeads: 2, tieWordEmbeddings: false },
    model: { numQueryTokens: 4, initializerRange: 0.3, qformerConfig: shape },
    steps: 10,
    schedule: { warmupSteps: 1 },
  });
  building({ generator: new Generator(2) }, () => {
    const config = recipe.languageModel;
    const languageModel = config.modelType === 'opt' ? new OptForCausalLM(config) : new T5ForConditionalGeneration(config);
    const json = config.modelType === 'opt' ? optConfigToJson(config) : t5ConfigToJson(config);
    fs.writeFileSync(path.join(llm, 'config.json'), JSON.stringify(json));
    saveSafetensors(path.join(llm, 'model.safetensors'), languageModel.stateDict());
    if (recipe.vision.architecture === 'eva') {
      saveSafetensors(path.join(folder, 'tower.safetensors'), new VisionModel(recipe.vision.config).stateDict());
    }
  });
  const checkpoint = new CheckpointFolder(path.join(folder, 'run/checkpoints')).at(7);
  fs.mkdirSync(checkpoint, { recursive: true });
  fs.writeFileSync(path.join(checkpoint, 'state.json'), JSON.stringify({ format: 1, recipe }));
  saveSafetensors(path.join(checkpoint, 'model.safetensors'), newStage2Model(recipe).stateDict());
  return {
    recipe,
    folder,
    of: { checkpoint: path.join(folder, 'run'), visionWeights: path.join(folder, 'tower.safetensors'), languageModel: llm },
  };
}

const prompts = (model: Blip2ForConditionalGeneration, recipe: Stage2Recipe) => {
  const size = recipe.image.size;
  return inferenceMode(() => model.encodeImages(randn([2, 3, size, size], { generator: new Generator(4) })));
};

describe.each(['opt', 't5'] as const)('%s', (kind) => {
  test('a run becomes a whole model, which reads the same in its folder', async () => {
    const { recipe, folder, of } = files(kind);
    const whole = loadStage2(of);
    const { model } = assembleStage2(whole);
    const target = path.join(folder, 'exported');
    exportStage2(whole, target);
    const again = Blip2ForConditionalGeneration.fromPretrained(target);
    scope(() => expectEqual(prompts(again, recipe), prompts(model, recipe)));
    const processor = Blip2Processor.fromPretrained(target);
    expect(processor.numQueryTokens).toBe(4);
    expect(again.config.imageTokenIndex).toBe(processor.imageTokenId);
    expect(processor.imageProcessor.config.size).toEqual({ height: 28, width: 28 });
    const newline = whole.tokenizer.encode('\n', { addSpecialTokens: false }).inputIds[0]?.[0];
    expect(again.config.textConfig.eosTokenId).toBe(kind === 'opt' ? newline : 1);
    const pixelValues = randn([2, 3, 28, 28], { generator: new Generator(5) });
    const [own, theirs] = [
      await model.generate({ pixelValues }, { maxNewTokens: 8 }),
      await again.generate({ pixelValues }, { maxNewTokens: 8 }),
    ];
    expect(theirs.sequences.toArray()).toEqual(own.sequences.toArray());
  });

  test("what was trained is what is written, and LAVIS's file of it gives the same", () => {
    const { recipe, folder, of } = files(kind);
    const whole = loadStage2(of);
    const file = path.join(folder, 'lavis.safetensors');
    saveLavis(whole.trained, file);
    const { model } = assembleStage2(whole);
    const { model: other } = assembleStage2(loadStage2({ ...of, checkpoint: file, recipe }));
    scope(() => expectEqual(prompts(other, recipe), prompts(model, recipe)));
    // The features' LayerNorm has LAVIS's eps in training and the tower's in the whole model.
    const pixelValues = randn([2, 3, 28, 28], { generator: new Generator(4) });
    scope(() => {
      const trained = inferenceMode(() => whole.trained.forward(whole.visionModel.features(pixelValues)));
      expectClose(prompts(model, recipe), trained, 1e-3);
    });
  });

  test('in another number format, with the parts as they were', () => {
    const { folder, of } = files(kind);
    const whole = loadStage2(of);
    const target = path.join(folder, 'short');
    exportStage2(whole, target, { dtype: 'bfloat16', maxShardBytes: 20_000 });
    expect(whole.trained.queryTokens.dtype).toBe('float32');
    expect(JSON.parse(fs.readFileSync(path.join(target, 'config.json'), 'utf8'))).toMatchObject({ dtype: 'bfloat16' });
    const again = Blip2ForConditionalGeneration.fromPretrained(target, { dtype: 'auto' });
    expect(new Set(again.parameters().map(({ dtype }) => dtype))).toEqual(new Set(['bfloat16']));
  });
});

test("LAVIS's file beside a plain Flan-T5 is run and written with the exact gelu, as the recipe says", () => {
  const { recipe, folder, of } = files('t5');
  const config = path.join(of.languageModel, 'config.json');
  // As google/flan-t5's says it, which alone means the approximation.
  const flan = { ...JSON.parse(fs.readFileSync(config, 'utf8')), feed_forward_proj: 'gated-gelu', is_gated_act: true };
  fs.writeFileSync(config, JSON.stringify({ ...flan, dense_act_fn: undefined }));
  const lavis = { ...(recipe.languageModel as T5Config), isGatedAct: true, denseActFn: 'gelu' } as const;
  const t5 = building({ generator: new Generator(2) }, () => new T5ForConditionalGeneration(lavis)).eval();
  saveSafetensors(path.join(of.languageModel, 'model.safetensors'), t5.stateDict());
  const file = path.join(folder, 'lavis.safetensors');
  saveLavis(newStage2Model(recipe), file);
  const whole = loadStage2({ ...of, checkpoint: file, recipe: { ...recipe, languageModel: lavis } });
  const target = path.join(folder, 'exported');
  exportStage2(whole, target);
  expect(JSON.parse(fs.readFileSync(path.join(target, 'config.json'), 'utf8'))).toMatchObject({
    text_config: { dense_act_fn: 'gelu', is_gated_act: true },
  });
  const again = Blip2ForConditionalGeneration.fromPretrained(target);
  const logits = (model: LanguageModel) => {
    const own = model as T5ForConditionalGeneration;
    const ids = tensor([[7, 8, 9, 1]], { dtype: 'int64' });
    return inferenceMode(() => own.project(own.decode(ids, own.encode(own.embed(ids), null), null)));
  };
  scope(() => {
    for (const model of [whole.languageModel, again.languageModel]) expectEqual(logits(model), logits(t5));
    const plain = loadLanguageModel(of.languageModel);
    expect(logits(plain).equal(logits(t5))).toBe(false);
  });
  const deeper = { ...recipe, languageModel: { ...lavis, numDecoderLayers: 2 } };
  expect(() => loadStage2({ ...of, checkpoint: file, recipe: deeper })).toThrow(FileError);
  expect(() => loadStage2({ ...of, checkpoint: file, recipe: deeper })).toThrow('for numDecoderLayers but received 1');
});

test('parts that do not fit are named', () => {
  const full = files('opt', 0);
  expect(() => assembleStage2(loadStage2(full.of))).toThrow(ArgumentError);
  expect(() => assembleStage2(loadStage2(full.of))).toThrow(
    /expected one whose <image> is below the language model's \d+ words for tokenizer/,
  );
  const [opt, t5] = [loadStage2(files('opt').of), loadStage2(files('t5').of)];
  const narrow = building({}, () => new VisionModel({ ...opt.visionModel.config, hiddenSize: 8 }));
  expect(() => assembleStage2({ ...opt, visionModel: narrow })).toThrow(
    'expected a tower of width 16, as it was trained with, for visionModel but received 8',
  );
  expect(() => assembleStage2({ ...opt, visionModel: t5.languageModel as never })).toThrow("expected EVA-CLIP's tower");
});
