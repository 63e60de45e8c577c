import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  ArgumentError,
  Blip2ForConditionalGeneration,
  type Blip2Inputs,
  blip2Config,
  building,
  FileError,
  Generator,
  inferenceMode,
  type LanguageModel,
  loadLanguageModel,
  loadSafetensors,
  OptForCausalLM,
  optConfigToJson,
  parseOptConfig,
  parseT5Config,
  randint,
  randn,
  readLanguageConfig,
  StateDictError,
  saveSafetensors,
  scope,
  setThreads,
  T5ForConditionalGeneration,
  type Tensor,
  t5ConfigToJson,
  tensor,
  threads,
  zeros,
} from '../../src/index.ts';
import { torchFileOf } from '../support/pickle.ts';

const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-language-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

const opt = parseOptConfig({ vocab_size: 20, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2, ffn_dim: 12 });
const t5 = parseT5Config({ vocab_size: 20, d_model: 8, d_kv: 3, d_ff: 12, num_layers: 1, num_heads: 2 });
const untied = { ...t5, tieWordEmbeddings: false };

const built = <T>(make: () => T): T => building({ generator: new Generator(3) }, make);
const models = {
  opt: built(() => new OptForCausalLM(opt)).eval(),
  t5: built(() => new T5ForConditionalGeneration(t5)).eval(),
  untied: built(() => new T5ForConditionalGeneration(untied)).eval(),
};

const WORDS = { opt: 'model.decoder.embed_tokens.weight', t5: 'shared.weight', untied: 'shared.weight' };

/** Writes config.json. */
function configure(json: object): void {
  fs.writeFileSync(path.join(folder, 'config.json'), JSON.stringify(json));
}

function expectSame(loaded: LanguageModel, model: LanguageModel): void {
  const state = loaded.stateDict();
  expect([...state.keys()].sort()).toEqual([...model.stateDict().keys()].sort());
  for (const [name, value] of model.stateDict()) expect([name, state.get(name)?.equal(value)]).toEqual([name, true]);
  expect(loaded.training).toBe(false);
}

function failure(body: () => unknown): unknown {
  try {
    body();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

describe('a folder of a language model alone', () => {
  const weights = (kind: keyof typeof models): Map<string, Tensor> => models[kind].stateDict();
  const forms: [string, keyof typeof models, () => Map<string, Tensor>][] = [
    ['OPTForCausalLM', 'opt', () => weights('opt')],
    ['OPTForCausalLM, its output table too', 'opt', () => weights('opt').set('lm_head.weight', words('opt'))],
    ['OPTModel', 'opt', () => new Map([...weights('opt')].map(([name, value]) => [name.replace(/^model\./, ''), value]))],
    ['T5, tied', 't5', () => weights('t5')],
    ['T5, tied, the table under every name', 't5', () => everyName('t5').set('lm_head.weight', words('t5'))],
    ['T5, the table under the encoder’s name alone', 't5', () => renamed('t5', 'encoder.embed_tokens.weight')],
    ['T5, an output table of its own', 'untied', () => weights('untied')],
    ['T5, an output table of its own, the other under every name', 'untied', () => everyName('untied')],
    [
      'an early T5',
      't5',
      () => weights('t5').set('decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight', zeros([32, 2])),
    ],
  ];
  const words = (kind: keyof typeof models): Tensor => weights(kind).get(WORDS[kind]) as Tensor;
  const everyName = (kind: keyof typeof models): Map<string, Tensor> =>
    weights(kind).set('encoder.embed_tokens.weight', words(kind)).set('decoder.embed_tokens.weight', words(kind));
  const renamed = (kind: keyof typeof models, name: string): Map<string, Tensor> => {
    const all = weights(kind).set(name, words(kind));
    all.delete(WORDS[kind]);
    return all;
  };
  const jsonOf = (kind: keyof typeof models): object =>
    // What says nothing of T5's output table, as transformers 5 writes it.
    kind === 'opt' ? optConfigToJson(opt) : { ...t5ConfigToJson(t5), tie_word_embeddings: true };

  test.each(forms)('%s', (_, kind, make) => {
    configure(jsonOf(kind));
    saveSafetensors(path.join(folder, 'model.safetensors'), make());
    const loaded = loadLanguageModel(folder);
    expect(loaded.config).toEqual(models[kind].config);
    expectSame(loaded, models[kind]);
  });

  test.each(['opt', 't5', 'untied'] as const)('%s in several safetensors files, and in several .bin', (kind) => {
    configure(jsonOf(kind));
    saveSafetensors(path.join(folder, 'model.safetensors'), weights(kind), { maxShardBytes: 1500 });
    expect(fs.readdirSync(folder).length).toBeGreaterThan(3);
    expectSame(loadLanguageModel(folder), models[kind]);

    for (const name of fs.readdirSync(folder)) if (name !== 'config.json') fs.rmSync(path.join(folder, name));
    const all = [...weights(kind)];
    const parts = [all.slice(0, 5), all.slice(5)];
    const weightMap: Record<string, string> = {};
    for (const [i, part] of parts.entries()) {
      const name = `pytorch_model-0000${i + 1}-of-00002.bin`;
      fs.writeFileSync(path.join(folder, name), torchFileOf(part));
      for (const [tensorName] of part) weightMap[tensorName] = name;
    }
    fs.writeFileSync(path.join(folder, 'pytorch_model.bin.index.json'), JSON.stringify({ weight_map: weightMap }));
    expectSame(loadLanguageModel(folder), models[kind]);
  });

  test('in half precision, with what stays in float32', () => {
    configure(jsonOf('untied'));
    saveSafetensors(path.join(folder, 'model.safetensors'), weights('untied'));
    const half = [...loadLanguageModel(folder, { dtype: 'float16' }).stateDict()];
    expect(half.filter(([, { dtype }]) => dtype === 'float32').map(([name]) => name)).toEqual([
      'encoder.block.0.layer.1.DenseReluDense.wo.weight',
      'decoder.block.0.layer.2.DenseReluDense.wo.weight',
    ]);
    const short = [...loadLanguageModel(folder, { dtype: 'bfloat16' }).stateDict()];
    expect(short.every(([, { dtype }]) => dtype === 'bfloat16')).toBe(true);
  });

  test('what does not fit is named', () => {
    configure(jsonOf('t5'));
    const all = weights('t5').set('decoder.embed_positions.weight', zeros([2]));
    all.delete('encoder.final_layer_norm.weight');
    saveSafetensors(path.join(folder, 'model.safetensors'), all);
    const error = failure(() => loadLanguageModel(folder)) as StateDictError;
    expect(error).toBeInstanceOf(StateDictError);
    expect(error).toMatchObject({
      missing: ['encoder.final_layer_norm.weight'],
      unexpected: ['decoder.embed_positions.weight'],
      mismatched: [],
    });
  });

  test.each([
    [{ model_type: 'llama' }, 'opt or t5 or blip-2 for model_type but received "llama"'],
    [{}, 'for model_type but received nothing'],
    [{ model_type: 'blip-2', text_config: { model_type: 'llama' } }, 'opt or t5 for text_config.model_type but received "llama"'],
    [{ model_type: 't5', d_model: 'wide' }, 'd_model'],
  ])('a config.json of something else: %j', (json, message) => {
    configure(json);
    for (const read of [loadLanguageModel, readLanguageConfig]) {
      const error = failure(() => read(folder)) as FileError;
      expect(error).toBeInstanceOf(FileError);
      expect(error.file).toBe(path.join(folder, 'config.json'));
      expect(error.message).toContain(message);
    }
  });
});

test.each(['opt', 't5'])('the language model of a whole BLIP-2 (%s)', (name) => {
  const whole = path.join(import.meta.dirname, '../fixtures/hf', name);
  const expected = Blip2ForConditionalGeneration.fromPretrained(whole);
  expectSame(loadLanguageModel(whole), expected.languageModel);
  expect(readLanguageConfig(whole).modelType).toBe(name);
});

describe('a folder with a wanted shape', () => {
  // As google/flan-t5's config.json says it.
  const flan = { ...t5ConfigToJson({ ...untied, isGatedAct: true }), feed_forward_proj: 'gated-gelu', dense_act_fn: undefined };
  const wanted = { ...parseT5Config(flan), denseActFn: 'gelu' as const };
  const write = (): void => {
    configure(flan);
    const model = built(() => new T5ForConditionalGeneration(wanted));
    saveSafetensors(path.join(folder, 'model.safetensors'), model.stateDict());
  };

  test("T5's activation is the wanted one, the folder's own unless told", () => {
    write();
    const run = (model: LanguageModel): number[] =>
      inferenceMode(() =>
        scope(() => {
          const own = model as T5ForConditionalGeneration;
          const ids = tensor([[7, 8, 9, 1]], { dtype: 'int64' });
          return own
            .project(own.decode(ids, own.encode(own.embed(ids), null), null))
            .reshape(-1)
            .toArray() as number[];
        }),
      );
    const [plain, exact] = [loadLanguageModel(folder), loadLanguageModel(folder, { shape: wanted })];
    expect([plain.config, exact.config].map((config) => (config as typeof wanted).denseActFn)).toEqual(['gelu_new', 'gelu']);
    expect(run(exact)).toEqual(run(built(() => new T5ForConditionalGeneration(exact.config as typeof wanted)).eval()));
    expect(run(exact)).not.toEqual(run(plain));
  });

  test('what changes no number, or the weights decide, may differ', () => {
    write();
    const shape = { ...wanted, vocabSize: 19, bosTokenId: 5, dropoutRate: 0.5, tieWordEmbeddings: true };
    expect(loadLanguageModel(folder, { shape }).config).toMatchObject({
      vocabSize: 20,
      bosTokenId: null,
      tieWordEmbeddings: false,
    });
  });

  test.each([
    [{ ...wanted, numLayers: 2 }, 'expected 2, as the wanted shape has it, for numLayers but received 1'],
    [{ ...wanted, scaleDecoderOutputs: false }, 'for scaleDecoderOutputs but received true'],
    [{ ...wanted, layerNormEpsilon: 1e-5 }, 'for layerNormEpsilon but received 0.000001'],
    [opt, 'expected "opt", as the wanted shape has it, for modelType but received "t5"'],
  ])('what does is refused by its name: %#', (shape, message) => {
    write();
    const error = failure(() => loadLanguageModel(folder, { shape })) as FileError;
    expect(error).toBeInstanceOf(FileError);
    expect(error.file).toBe(path.join(folder, 'config.json'));
    expect(error.message).toContain(message);
  });

  test("OPT's activation is the folder's, or refused", () => {
    configure(optConfigToJson(opt));
    saveSafetensors(path.join(folder, 'model.safetensors'), models.opt.stateDict());
    expectSame(loadLanguageModel(folder, { shape: { ...opt, eosTokenId: 9 } }), models.opt);
    const shape = { ...opt, activationFunction: 'gelu' as const };
    expect(() => loadLanguageModel(folder, { shape })).toThrow('for activationFunction but received "relu"');
    for (const wrong of ['flan-t5-xl', null, {}]) {
      expect(failure(() => loadLanguageModel(folder, { shape: wrong as never }))).toMatchObject({ argument: 'shape' });
    }
    for (const wrong of [{ modelType: 'llama' }, { modelType: 't5' }, { ...wanted, denseActFn: 'gelus' }]) {
      expect(failure(() => loadLanguageModel(folder, { shape: wrong as never }))).toBeInstanceOf(ArgumentError);
    }
  });
});

describe("T5's output table in a whole BLIP-2", () => {
  const fixture = path.join(import.meta.dirname, '../fixtures/hf/t5');
  const [HEAD, TABLE] = ['language_model.lm_head.weight', 'language_model.shared.weight'];

  test.each([
    ['its own', (_: Map<string, Tensor>) => {}, false],
    ['the same', (all: Map<string, Tensor>) => void all.set(HEAD, (all.get(TABLE) as Tensor).clone()), true],
    ['none', (all: Map<string, Tensor>) => void all.delete(HEAD), true],
  ])('%s', (_, change, tied) => {
    const all = loadSafetensors(fixture);
    change(all);
    configure(JSON.parse(fs.readFileSync(path.join(fixture, 'config.json'), 'utf8')) as object);
    saveSafetensors(path.join(folder, 'model.safetensors'), all);
    const model = Blip2ForConditionalGeneration.fromPretrained(folder);
    expect(model.config.textConfig.tieWordEmbeddings).toBe(tied);
    expect((model.languageModel as T5ForConditionalGeneration).lmHead === null).toBe(tied);
    const saved = path.join(folder, 'saved');
    model.savePretrained(saved);
    const again = Blip2ForConditionalGeneration.fromPretrained(saved);
    expect(again.config).toEqual(model.config);
    expectSame(again.languageModel, model.languageModel);
    const { tie_word_embeddings, scale_decoder_outputs } = (
      JSON.parse(fs.readFileSync(path.join(saved, 'config.json'), 'utf8')) as { text_config: Record<string, unknown> }
    ).text_config;
    expect({ tie_word_embeddings, scale_decoder_outputs }).toEqual({ tie_word_embeddings: tied, scale_decoder_outputs: false });
  });
});

describe('inputs that a T5 cannot read', () => {
  const config = blip2Config({
    visionConfig: { hiddenSize: 8, intermediateSize: 8, numHiddenLayers: 1, numAttentionHeads: 1, imageSize: 8, patchSize: 4 },
    qformerConfig: { hiddenSize: 8, intermediateSize: 8, numHiddenLayers: 1, numAttentionHeads: 1 },
    textConfig: { modelType: 't5', vocabSize: 20, dModel: 8, dKv: 3, dFf: 12, numLayers: 1, numHeads: 2 },
    numQueryTokens: 2,
    imageTokenIndex: 19,
  });
  const model = built(() => new Blip2ForConditionalGeneration(config)).eval();
  const given = (): Blip2Inputs => ({
    pixelValues: randn([2, 3, 8, 8]),
    inputIds: tensor(
      [
        [19, 19, 4],
        [19, 19, 5],
      ],
      { dtype: 'int64' },
    ),
  });

  test.each<[string, () => Partial<Blip2Inputs>, string]>([
    ['neither labels nor decoder inputs', () => ({}), 'decoderInputIds'],
    [
      'labels of another batch',
      () => ({ labels: randint(0, 9, [3, 2]) }),
      'ids [2, L] of int64, a row for each picture for labels but received int64 [3, 2]',
    ],
    ['labels in one row', () => ({ labels: randint(0, 9, [2]) }), 'labels'],
    ['decoder inputs of another batch', () => ({ decoderInputIds: randint(0, 9, [1, 2]) }), 'decoderInputIds'],
    [
      'labels of another length than the decoder inputs',
      () => ({ labels: randint(0, 9, [2, 3]), decoderInputIds: randint(0, 9, [2, 2]) }),
      'ids [2, 2] for labels but received [2, 3]',
    ],
  ])('%s', (_, make, message) => {
    scope(() => {
      const inputs = { ...given(), ...make() };
      expect(() => model.forward(inputs)).toThrow(ArgumentError);
      expect(() => model.forward(inputs)).toThrow(message);
    });
  });

  test('an OPT takes no decoder inputs', () => {
    const small = { ...config, textConfig: { ...opt, maxPositionEmbeddings: 16 } };
    const other = built(() => new Blip2ForConditionalGeneration(small));
    scope(() => {
      const inputs = { ...given(), decoderInputIds: randint(0, 9, [2, 2]) };
      expect(() => other.forward(inputs)).toThrow('none, as OPT has no encoder for decoderInputIds but received one');
    });
  });

  test('generation starts from nothing but a picture, and says where it cannot', async () => {
    const pixelValues = randn([2, 3, 8, 8]);
    await expect(model.generate({ pixelValues })).rejects.toThrow('the configuration has no first token');
    const { sequences } = await model.generate({ pixelValues }, { bosTokenId: 1, maxNewTokens: 3, eosTokenId: null });
    expect(sequences.shape).toEqual([2, 4]);
    expect(sequences.select(1, 0).toArray()).toEqual([0, 0]);
    const { languageModelInputs } = inferenceMode(() => model.forward({ ...given(), labels: randint(0, 9, [2, 3]) }));
    expect(languageModelInputs.shape).toEqual([2, 2, 8]);
  });
});
