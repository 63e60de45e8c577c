import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  ArgumentError,
  Blip2ForConditionalGeneration,
  Blip2ForImageTextRetrieval,
  Blip2ForPretraining,
  blip2Config,
  building,
  ClipVisionModel,
  Generator,
  inferenceMode,
  loadLavis,
  loadSafetensors,
  loadTorchFile,
  type Module,
  parseClipVisionConfig,
  parsePretrainingConfig,
  parseVisionConfig,
  StateDictError,
  saveLavis,
  saveSafetensors,
  scope,
  type Tensor,
  TorchFileError,
  VisionModel,
  zeros,
} from '../../src/index.ts';
import { OptForCausalLM } from '../../src/models/opt/model.ts';
import { expectClose } from '../closeness.ts';

// Files and numbers of LAVIS's own towers, and checkpoints as its runner saves them (scripts/oracle/lavis_files.py).
const fixtures = path.join(import.meta.dirname, '../fixtures/lavis');
const at = (name: string): string => path.join(fixtures, name);
const towers = loadSafetensors(at('towers.safetensors'));

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(tmpdir(), 'blip2-lavis-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

const shape = { hidden_size: 16, num_attention_heads: 2, patch_size: 7, initializer_range: 0.02 };
const made = <M extends Module>(make: () => M): M => building({ generator: new Generator(1) }, make).eval();
const eva = (size: number, layers = 2): VisionModel =>
  made(
    () => new VisionModel(parseVisionConfig({ ...shape, intermediate_size: 40, image_size: size, num_hidden_layers: layers })),
  );
const clip = (size: number, layers = 3): ClipVisionModel =>
  made(
    () =>
      new ClipVisionModel(
        parseClipVisionConfig({ ...shape, intermediate_size: 64, image_size: size, num_hidden_layers: layers }),
      ),
  );

const qformer = {
  vocabSize: 23,
  hiddenSize: 12,
  numHiddenLayers: 4,
  numAttentionHeads: 4,
  intermediateSize: 20,
  maxPositionEmbeddings: 10,
  useQformerTextInput: true,
};
const vision = { hiddenSize: 16, intermediateSize: 40, numHiddenLayers: 2, numAttentionHeads: 2, imageSize: 21, patchSize: 7 };
const pretraining = (): Blip2ForPretraining =>
  made(
    () =>
      new Blip2ForPretraining(
        parsePretrainingConfig({
          qformer_config: {
            vocab_size: 23,
            hidden_size: 12,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            intermediate_size: 20,
            max_position_embeddings: 10,
            encoder_hidden_size: 16,
          },
          num_query_tokens: 3,
          image_text_hidden_size: 4,
        }),
      ),
  );
const retrieval = (): Blip2ForImageTextRetrieval =>
  made(
    () =>
      new Blip2ForImageTextRetrieval(
        blip2Config({ visionConfig: vision, qformerConfig: qformer, numQueryTokens: 3, imageTextHiddenSize: 4 }),
      ),
  );
const generation = (): Blip2ForConditionalGeneration =>
  made(
    () =>
      new Blip2ForConditionalGeneration(
        blip2Config({
          visionConfig: vision,
          qformerConfig: { ...qformer, useQformerTextInput: false },
          textConfig: {
            vocabSize: 31,
            hiddenSize: 20,
            numHiddenLayers: 1,
            numAttentionHeads: 2,
            ffnDim: 24,
            maxPositionEmbeddings: 16,
          },
          numQueryTokens: 3,
          imageTokenIndex: 30,
        }),
      ),
  );

/** A copy of every parameter. */
const snapshot = (model: Module): Map<string, Tensor> =>
  new Map([...model.namedParameters()].map(([name, value]) => [name, value.detach().clone()]));
const same = (a: Tensor | undefined, b: Tensor | undefined): boolean => a !== undefined && b !== undefined && a.equal(b);

describe("the encoders' own files: features are LAVIS's, at their own size and with resized positions", () => {
  test.each([21, 28])('EVA, %i pixels', (size) => {
    const model = eva(size);
    const report = loadLavis(model, at('eva.pth'), { partial: true });
    expect(report).toEqual({ missing: ['post_layernorm.weight', 'post_layernorm.bias'], unexpected: [] });
    inferenceMode(() =>
      scope(() => {
        const { hiddenStates } = model.forward(towers.get(`eva.pixels.${size}`) as Tensor, { hiddenStates: true });
        expectClose(hiddenStates?.at(-1) as Tensor, towers.get(`eva.features.${size}`) as Tensor);
      }),
    );
  });

  test.each([21, 28])('CLIP, %i pixels', (size) => {
    const model = clip(size);
    expect(loadLavis(model, at('clip.pth'))).toEqual({ missing: [], unexpected: [] });
    inferenceMode(() =>
      scope(() => {
        const { lastHiddenState } = model.forward(towers.get(`clip.pixels.${size}`) as Tensor);
        expectClose(lastHiddenState, towers.get(`clip.features.${size}`) as Tensor);
      }),
    );
  });

  test('without the last LayerNorm, a strict load is refused and changes nothing', () => {
    const model = eva(21);
    const before = snapshot(model);
    expect(() => loadLavis(model, at('eva.pth'))).toThrow(/missing \(2\): post_layernorm.weight, post_layernorm.bias/);
    for (const [name, value] of model.namedParameters()) expect(same(value, before.get(name))).toBe(true);
  });

  test('names as OpenAI has them', () => {
    const weights = loadTorchFile(at('clip.pth'));
    const file = path.join(folder, 'clip.safetensors');
    saveSafetensors(file, new Map([...weights].map(([name, value]) => [`visual.${name}`, value])));
    const [model, other] = [clip(21), clip(21)];
    loadLavis(model, at('clip.pth'));
    loadLavis(other, file);
    for (const [name, value] of model.namedParameters()) expect(same(value, other.namedParameters().get(name))).toBe(true);
  });

  test('more blocks than the file has, and blocks with parts that are not known', () => {
    expect(() => loadLavis(eva(21, 4), at('eva.pth'), { partial: false })).toThrow(/missing \(14\): encoder.layers.3/);
    const weights = loadTorchFile(at('eva.pth'));
    weights.set('blocks.1.gamma_1', zeros([16]));
    const file = path.join(folder, 'eva.safetensors');
    saveSafetensors(file, weights);
    expect(loadLavis(eva(21), file, { partial: true }).unexpected).toEqual(['blocks.1.gamma_1']);
  });

  test.each<[string, string, Tensor, RegExp]>([
    ['a table of positions that is no square', 'pos_embed', zeros([1, 8, 16]), /pos_embed \[1, 8, 16\] for .*position_embedding/],
    ['one without dimensions', 'pos_embed', zeros([]), /pos_embed \[\] for/],
    ['one of another width', 'pos_embed', zeros([1, 5, 15]), /pos_embed \[1, 5, 15\] for/],
    [
      'a bias of another width',
      'blocks.0.attn.v_bias',
      zeros([15]),
      /q_bias \[16\], blocks.0.attn.v_bias \[15\] for .*qkv.bias \[48\]/,
    ],
    ['a weight of another shape', 'cls_token', zeros([16]), /cls_token \[16\] for embeddings.class_embedding \[1, 1, 16\]/],
  ])('%s', (_, name, value, message) => {
    const file = path.join(folder, 'eva.safetensors');
    saveSafetensors(file, loadTorchFile(at('eva.pth')).set(name, value));
    const model = eva(21);
    expect(() => loadLavis(model, file, { partial: true })).toThrow(StateDictError);
    expect(() => loadLavis(model, file, { partial: true })).toThrow(message);
  });

  test('a projection of CLIP that is not three', () => {
    const file = path.join(folder, 'clip.safetensors');
    const weights = loadTorchFile(at('clip.pth')).set('transformer.resblocks.1.attn.in_proj_bias', zeros([16]));
    saveSafetensors(file, weights);
    expect(() => loadLavis(clip(21), file)).toThrow(/in_proj_bias \[16\] for encoder.layers.1.self_attn.q_proj.bias \[16\]/);
  });
});

describe('checkpoints of the first stage', () => {
  test('everything that is trained has its place', () => {
    const model = pretraining();
    expect(loadLavis(model, at('stage1.pth'))).toEqual({ missing: [], unexpected: [] });
    const weights = loadTorchFile(at('stage1.pth'));
    const own = model.stateDict();
    expect(same(own.get('temp'), weights.get('model.temp'))).toBe(true);
    expect(same(own.get('ln_vision.bias'), weights.get('model.ln_vision.bias'))).toBe(true);
    const layer = 'encoder.layer.2.crossattention';
    expect(
      same(own.get(`qformer.${layer}.attention.key.weight`), weights.get(`model.Qformer.bert.${layer}.self.key.weight`)),
    ).toBe(true);
    expect(same(own.get('cls.predictions.bias'), weights.get('model.Qformer.cls.predictions.bias'))).toBe(true);
  });

  test('the frozen tower is not there: an error, or a list', () => {
    const model = retrieval();
    const before = snapshot(model);
    expect(() => loadLavis(model, at('stage1.pth'))).toThrow(/stage1.pth: .*missing/s);
    const { missing, unexpected } = loadLavis(model, at('stage1.pth'), { partial: true });
    expect(missing.every((name) => name.startsWith('vision_model.') && !name.includes('post_layernorm'))).toBe(true);
    expect(missing).toHaveLength(4 + 2 * 12);
    expect(unexpected.sort()).toEqual(
      ['temp', 'bias', 'transform.LayerNorm.bias', 'transform.LayerNorm.weight', 'transform.dense.bias', 'transform.dense.weight']
        .map((name) => (name === 'temp' ? name : `Qformer.cls.predictions.${name}`))
        .sort(),
    );
    for (const name of missing) expect(same(model.namedParameters().get(name), before.get(name))).toBe(true);
    const weights = loadTorchFile(at('stage1.pth'));
    expect(same(model.visionModel.postLayernorm.weight as Tensor, weights.get('model.ln_vision.weight'))).toBe(true);
  });

  test('one with the tower, which was trained too; then what was frozen from the encoder', () => {
    const model = retrieval();
    const { missing } = loadLavis(model, at('stage1-finetuned.pth'), { partial: true });
    expect(missing).toEqual([]);
    const weights = loadTorchFile(at('stage1-finetuned.pth'));
    scope(() => {
      const bias = model.visionModel.encoder.layers[1]?.selfAttn.qkv.bias as Tensor;
      const [q, k, v] = bias.chunk(3) as [Tensor, Tensor, Tensor];
      expect(same(q, weights.get('model.visual_encoder.blocks.1.attn.q_bias'))).toBe(true);
      expect(k.toArray()).toEqual(new Array(16).fill(0));
      expect(same(v, weights.get('model.visual_encoder.blocks.1.attn.v_bias'))).toBe(true);
    });
    const later = loadLavis(model, at('eva.pth'), { partial: true });
    expect(later.missing.every((name) => !name.startsWith('vision_model.') || name.includes('post_layernorm'))).toBe(true);
    expect(same(model.visionModel.embeddings.classEmbedding, loadTorchFile(at('eva.pth')).get('cls_token'))).toBe(true);
  });
});

test('a checkpoint of the second stage', () => {
  const model = generation();
  const { missing, unexpected } = loadLavis(model, at('stage2.pth'), { partial: true });
  expect(unexpected).toEqual([]);
  expect(missing.filter((name) => !name.startsWith('language_model.') && !/^vision_model\.e/.test(name))).toEqual([]);
  const weights = loadTorchFile(at('stage2.pth'));
  expect(same(model.languageProjection.weight, weights.get('model.opt_proj.weight'))).toBe(true);
  expect(model.languageModel).toBeInstanceOf(OptForCausalLM);
});

describe('writing under LAVIS names', () => {
  test('what is read again is the same, trained parameters alone', () => {
    const model = retrieval();
    loadLavis(model, at('stage1-finetuned.pth'), { partial: true });
    model.visionModel.encoder.freeze();
    model.visionModel.embeddings.freeze();
    const file = path.join(folder, 'ours.safetensors');
    saveLavis(model, file);
    const theirs = loadTorchFile(at('stage1.pth'));
    const names = [...theirs.keys()].flatMap((name) =>
      /^model\.(?!Qformer\.cls|Qformer.*position_ids|temp)/.test(name) ? [name.slice(6)] : [],
    );
    const saved = loadSafetensors(file);
    expect([...saved.keys()].sort()).toEqual(names.sort());
    for (const [name, value] of saved) expect(value.shape).toEqual(theirs.get(`model.${name}`)?.shape);
    const other = retrieval();
    loadLavis(other, file, { partial: true });
    for (const [name, value] of model.namedParameters()) {
      if (value.requiresGrad) expect([name, same(value, other.namedParameters().get(name))]).toEqual([name, true]);
    }
  });

  test('the whole of every model comes back', () => {
    const models: (() => Module)[] = [() => eva(21), () => clip(21), pretraining, retrieval, generation];
    for (const make of models) {
      const model = make();
      const file = path.join(folder, 'whole.safetensors');
      saveLavis(model.freeze(), file, { frozen: true });
      const other = make();
      // Keys' biases, which LAVIS has not, are zero in a new model; something else is in every other parameter.
      scope(() => {
        for (const parameter of other.parameters()) parameter.detach().fill_(9);
      });
      expect(loadLavis(other, file)).toEqual({ missing: [], unexpected: [] });
      for (const [name, value] of model.namedParameters()) {
        expect([name, same(value, other.namedParameters().get(name))]).toEqual([name, true]);
      }
    }
  });

  test("towers' names are those of the encoders' files", () => {
    for (const [model, source] of [
      [eva(21, 3), 'eva.pth'],
      [clip(21, 4), 'clip.pth'],
    ] as const) {
      loadLavis(model, at(source), { partial: true });
      const file = path.join(folder, 'tower.safetensors');
      saveLavis(model, file);
      const weights = loadTorchFile(at(source));
      for (const [name, value] of loadSafetensors(file)) {
        if (!name.startsWith('ln_vision.'))
          expect([name, same(value, weights.get(name.replace('visual_encoder.', '')))]).toEqual([name, true]);
      }
    }
  });

  test('a model that LAVIS has no names for', () => {
    const model = generation().languageModel;
    expect(() => saveLavis(model, path.join(folder, 'x.safetensors'))).toThrow(ArgumentError);
    expect(fs.readdirSync(folder)).toEqual([]);
  });
});

test('a file that is none, and a model without memory', () => {
  expect(() => loadLavis(pretraining(), path.join(import.meta.dirname, '../fixtures/torch/attack.pth'))).toThrow(TorchFileError);
  const model = building(
    { device: 'meta' },
    () => new VisionModel(parseVisionConfig({ ...shape, intermediate_size: 40, image_size: 21 })),
  );
  expect(() => loadLavis(model, at('eva.pth'))).toThrow(
    /a model with memory for model but received embeddings.class_embedding on the meta/,
  );
});
