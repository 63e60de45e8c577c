import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  ArgumentError,
  assembleRetrieval,
  Blip2ForImageTextRetrieval,
  Blip2ForPretraining,
  building,
  ClipVisionModel,
  FileError,
  Generator,
  inferenceMode,
  loadLavis,
  loadSafetensors,
  loadVisionTower,
  type Module,
  memory,
  noGrad,
  normal_,
  parseClipVisionConfig,
  parsePretrainingConfig,
  parseVisionConfig,
  randint,
  randn,
  StateDictError,
  saveLavis,
  saveSafetensors,
  scope,
  setThreads,
  type Tensor,
  VisionModel,
} from '../../src/index.ts';
import { expectClose, expectEqual } from '../closeness.ts';

setThreads(1);

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-stage1-files-'));
afterAll(() => fs.rmSync(root, { recursive: true }));

const shape = { hidden_size: 16, num_attention_heads: 2, intermediate_size: 24, num_hidden_layers: 2 };
const fields = {
  qformer_config: { ...shape, vocab_size: 40, max_position_embeddings: 12, encoder_hidden_size: 20 },
  num_query_tokens: 3,
  image_text_hidden_size: 8,
  vision_layer_norm_eps: 1e-6,
  eos_token_id: 5,
};
const visionConfig = parseVisionConfig({ ...shape, hidden_size: 20, image_size: 28, patch_size: 14 });

/** Random everywhere, so that nothing is as it is by default. */
function shaken<M extends Module>(model: M, seed: number): M {
  const generator = new Generator(seed);
  noGrad(() => {
    for (const parameter of model.parameters()) normal_(parameter, 0.1, 0.3, generator);
  });
  return model.eval();
}
const build = (other: object = {}): Blip2ForPretraining =>
  shaken(new Blip2ForPretraining(parsePretrainingConfig({ ...fields, ...other })), 1);
const tower = (): VisionModel => shaken(new VisionModel(visionConfig), 2);

function save(model: Blip2ForPretraining, name: string): string {
  const folder = path.join(root, name);
  model.savePretrained(folder, { visionModel: tower() });
  return folder;
}

function expectSame(a: Module, b: Module): void {
  const [own, other] = [a.stateDict(), b.stateDict()];
  expect([...own.keys()]).toEqual([...other.keys()]);
  for (const [name, value] of own) expectEqual(value.detach(), (other.get(name) as Tensor).detach());
}

test("what is saved is Hugging Face's folder with a second file, and is read back exactly", () => {
  const model = build();
  const folder = save(model, 'whole');
  expect(fs.readdirSync(folder).sort()).toEqual([
    'config.json',
    'model.safetensors',
    'pretraining.json',
    'pretraining.safetensors',
  ]);
  const rest = [...loadSafetensors(path.join(folder, 'pretraining.safetensors')).keys()].sort();
  expect(rest).toEqual([
    'cls.predictions.bias',
    'cls.predictions.transform.LayerNorm.bias',
    'cls.predictions.transform.LayerNorm.weight',
    'cls.predictions.transform.dense.bias',
    'cls.predictions.transform.dense.weight',
    'temp',
  ]);
  const again = Blip2ForPretraining.fromPretrained(folder);
  expect(again.config).toEqual(model.config);
  expect(again.training).toBe(false);
  expectSame(again, model);
});

test('the retrieval model of the folder computes what the two parts compute', () => {
  const [model, vision] = [build(), tower()];
  const whole = Blip2ForImageTextRetrieval.fromPretrained(save(model, 'retrieval'));
  const pixelValues = randn([2, 3, 28, 28], { generator: new Generator(3) });
  const inputIds = randint(6, 40, [2, 7], { generator: new Generator(4) });
  inferenceMode(() =>
    scope(() => {
      const features = vision.features(pixelValues);
      expectClose(whole.encodeImages(pixelValues).imageEmbeds, model.encodeImages(features).imageEmbeds);
      const { logitsPerImage } = whole.forward({ pixelValues, inputIds, useImageTextMatchingHead: true });
      expectClose(logitsPerImage, model.match({ imageFeatures: features }, inputIds));
    }),
  );
});

test('the tower comes out of the folder as it went in, but for its last LayerNorm, which is the trained one', () => {
  const model = build();
  const loaded = loadVisionTower({ architecture: 'eva', config: visionConfig }, save(model, 'tower'));
  const expected = tower();
  for (const kind of ['weight', 'bias']) {
    const trained = model.stateDict().get(`ln_vision.${kind}`) as Tensor;
    (expected.stateDict().get(`post_layernorm.${kind}`) as Tensor).setData(trained.detach());
  }
  expectSame(loaded, expected);
});

test('without a LayerNorm of its own the last one is that of the tower', () => {
  const model = build({ vision_layer_norm: false });
  const folder = save(model, 'normalised');
  expectSame(Blip2ForPretraining.fromPretrained(folder), model);
  const whole = assembleRetrieval(model, tower());
  const last = 'post_layernorm.weight';
  expectEqual((whole.visionModel.stateDict().get(last) as Tensor).detach(), (tower().stateDict().get(last) as Tensor).detach());
});

test('in another dtype, over a folder that is there, and in several files', () => {
  const folder = save(build({ initial_temperature: 0.2 }), 'again');
  const model = build();
  model.savePretrained(folder, { visionModel: tower(), maxShardBytes: 20_000 });
  expect(fs.readdirSync(folder).filter((name) => name.startsWith('model-')).length).toBeGreaterThan(1);
  const half = Blip2ForPretraining.fromPretrained(folder, { dtype: 'bfloat16' });
  expect(half.queryTokens.dtype).toBe('bfloat16');
  expect(half.config.initialTemperature).toBe(0.07);
  expectSame(half.to('float32'), build().to('bfloat16').to('float32'));
});

test('refuses what does not fit', () => {
  const model = build();
  const clip = new ClipVisionModel(parseClipVisionConfig({ ...shape, hidden_size: 20, image_size: 28, patch_size: 14 }));
  expect(() => model.savePretrained(path.join(root, 'no'), { visionModel: clip as unknown as VisionModel })).toThrow(
    ArgumentError,
  );
  const wide = building({ device: 'meta' }, () => new VisionModel({ ...visionConfig, hiddenSize: 24 }));
  expect(() => model.savePretrained(path.join(root, 'no'), { visionModel: wide })).toThrow(/width 20.*received 24/);
  expect(fs.existsSync(path.join(root, 'no'))).toBe(false);

  const folder = save(model, 'damaged');
  const rest = path.join(folder, 'pretraining.safetensors');
  const before = memory().tensors;
  scope(() => {
    const tensors = loadSafetensors(rest);
    tensors.delete('temp');
    saveSafetensors(rest, tensors);
  });
  expect(() => Blip2ForPretraining.fromPretrained(folder)).toThrow(StateDictError);
  expect(() => Blip2ForPretraining.fromPretrained(folder)).toThrow(/temp/);
  fs.writeFileSync(path.join(folder, 'pretraining.json'), '{"num_query_tokens": -1}');
  expect(() => Blip2ForPretraining.fromPretrained(folder)).toThrow(/pretraining.json.*num_query_tokens/);
  fs.rmSync(path.join(folder, 'pretraining.json'));
  expect(() => Blip2ForPretraining.fromPretrained(folder)).toThrow(FileError);
  expect(memory().tensors).toBe(before);
});

test("LAVIS's names in safetensors, there and back", () => {
  const model = build();
  const file = path.join(root, 'lavis.safetensors');
  saveLavis(model, file);
  const other = shaken(build(), 7);
  expect(loadLavis(other, file)).toEqual({ missing: [], unexpected: [] });
  expectSame(other, model);
});
