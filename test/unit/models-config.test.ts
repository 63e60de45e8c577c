import fs from 'node:fs';
import path from 'node:path';
import {
  ArgumentError,
  Blip2ForConditionalGeneration,
  Blip2ForImageTextRetrieval,
  blip2Config,
  blip2ConfigToJson,
  building,
  type Module,
  type PresetName,
  parseBlip2Config,
  parseClipVisionConfig,
  parseT5Config,
  preset,
  presetNames,
  type T5Config,
  T5ForConditionalGeneration,
} from '../../src/index.ts';

const fixture = (name: string): unknown =>
  JSON.parse(fs.readFileSync(path.join(import.meta.dirname, '../fixtures/hf', name, 'config.json'), 'utf8'));

const meta = <T extends Module>(make: () => T): T => building({ device: 'meta' }, make);

describe('configuration files', () => {
  test('an empty one has the defaults of Hugging Face', () => {
    const config = parseBlip2Config({});
    expect(config).toMatchObject({ numQueryTokens: 32, imageTextHiddenSize: 256, imageTokenIndex: null, initializerRange: 0.02 });
    expect(config.visionConfig).toMatchObject({
      hiddenSize: 1408,
      intermediateSize: 6144,
      numHiddenLayers: 39,
      layerNormEps: 1e-6,
    });
    expect(config.qformerConfig).toMatchObject({ vocabSize: 30522, layerNormEps: 1e-12, useQformerTextInput: false });
    expect(config.textConfig).toMatchObject({
      modelType: 'opt',
      vocabSize: 50272,
      ffnDim: 3072,
      wordEmbedProjDim: 768,
      dropout: 0.1,
    });
  });

  test("the hub's: defaults left out, fields of old versions, the vision tower's width for the Q-Former", () => {
    const config = parseBlip2Config({
      architectures: ['Blip2ForConditionalGeneration'],
      image_token_id: 50265,
      torch_dtype: 'float32',
      tie_word_embeddings: false,
      use_decoder_only_language_model: true,
      vision_config: {
        hidden_size: 96,
        num_attention_heads: 4,
        dropout: 0,
        initializer_factor: 1,
        num_channels: 3,
        projection_dim: 512,
      },
      qformer_config: { encoder_hidden_size: 1408, classifier_dropout: null, position_embedding_type: 'absolute' },
      text_config: { _name_or_path: 'facebook/opt-2.7b', eos_token_id: 50118, prefix: '</s>', word_embed_proj_dim: null },
    });
    expect(config.imageTokenIndex).toBe(50265);
    expect(config.qformerConfig.encoderHiddenSize).toBe(96);
    expect(config.textConfig).toMatchObject({ eosTokenId: 50118, wordEmbedProjDim: 768, tieWordEmbeddings: true });
  });

  test.each(['opt', 'itm', 't5'])('hf/%s: what is written is what was read', (name) => {
    const json = fixture(name) as Record<string, object>;
    const config = parseBlip2Config(json);
    const written = blip2ConfigToJson(config) as Record<string, object>;
    expect(parseBlip2Config(written)).toEqual(config);
    for (const part of ['vision_config', 'qformer_config', 'text_config'])
      expect(json[part]).toMatchObject(written[part] as object);
  });

  test.each(presetNames)('%s: what is written is what was read', (name) => {
    expect(parseBlip2Config(JSON.parse(JSON.stringify(blip2ConfigToJson(preset(name)))))).toEqual(preset(name));
  });

  test('in TypeScript, under names in camelCase', () => {
    const config = blip2Config({
      visionConfig: { hiddenSize: 64, numAttentionHeads: 2 },
      textConfig: { removeFinalLayerNorm: true },
    });
    expect(config.visionConfig.hiddenSize).toBe(64);
    expect(config.qformerConfig.encoderHiddenSize).toBe(64);
    expect(config.textConfig).toMatchObject({ removeFinalLayerNorm: true });
  });

  test('T5: activation, scaling and the length of the decoder', () => {
    expect(parseT5Config({})).toMatchObject({
      denseActFn: 'relu',
      isGatedAct: false,
      scaleDecoderOutputs: true,
      numDecoderLayers: 6,
    });
    const flan = parseT5Config({ feed_forward_proj: 'gated-gelu', tie_word_embeddings: false, num_layers: 24 });
    expect(flan).toMatchObject({ denseActFn: 'gelu_new', isGatedAct: true, scaleDecoderOutputs: false, numDecoderLayers: 24 });
    expect(parseT5Config({ feed_forward_proj: 'gated-gelu', dense_act_fn: 'gelu' })).toMatchObject({ denseActFn: 'gelu' });
    expect(parseT5Config({ feed_forward_proj: 'gated-silu' })).toMatchObject({ denseActFn: 'silu', isGatedAct: true });
    expect(parseT5Config({ tie_word_embeddings: false, scale_decoder_outputs: true }).scaleDecoderOutputs).toBe(true);
    expect(parseBlip2Config(fixture('t5')).textConfig).toMatchObject({ modelType: 't5', denseActFn: 'gelu', dModel: 20 });
  });
});

describe('wrong fields are named', () => {
  test.each<[string, unknown, string]>([
    ['vision_config.hidden_size', { vision_config: { hidden_size: '1408' } }, '"1408"'],
    ['vision_config.hidden_size', { vision_config: { hidden_size: 100 } }, '100'],
    ['vision_config.num_hidden_layers', { vision_config: { num_hidden_layers: 0 } }, '0'],
    ['vision_config.num_hidden_layers', { vision_config: { num_hidden_layers: 1e9 } }, '1000000000'],
    ['text_config.num_decoder_layers', { text_config: { model_type: 't5', num_decoder_layers: 1e9 } }, '1000000000'],
    ['vision_config.patch_size', { vision_config: { patch_size: 300 } }, '300'],
    ['vision_config.image_size', { vision_config: { image_size: [224, 224] } }, 'an array of 2'],
    ['vision_config.hidden_act', { vision_config: { hidden_act: 'mish' } }, '"mish"'],
    ['vision_config.attention_dropout', { vision_config: { attention_dropout: 1 } }, '1'],
    ['vision_config.qkv_bias', { vision_config: { qkv_bias: 1 } }, '1'],
    ['vision_config', { vision_config: [] }, 'an array of 0'],
    ['qformer_config.cross_attention_frequency', { qformer_config: { cross_attention_frequency: 1.5 } }, '1.5'],
    ['qformer_config.hidden_size', { qformer_config: { num_attention_heads: 7 } }, '768'],
    ['qformer_config.layer_norm_eps', { qformer_config: { layer_norm_eps: -1 } }, '-1'],
    ['text_config.model_type', { text_config: { model_type: 'llama' } }, '"llama"'],
    ['text_config.eos_token_id', { text_config: { eos_token_id: [2, -1] } }, '-1'],
    ['text_config.eos_token_id', { text_config: { eos_token_id: [] } }, 'an empty list'],
    ['text_config.hidden_size', { text_config: { hidden_size: 770 } }, '770'],
    ['text_config.feed_forward_proj', { text_config: { model_type: 't5', feed_forward_proj: 'gated-' } }, '"gated-"'],
    ['text_config.relative_attention_num_buckets', { text_config: { model_type: 't5', relative_attention_num_buckets: 3 } }, '3'],
    [
      'text_config.relative_attention_max_distance',
      { text_config: { model_type: 't5', relative_attention_max_distance: 16 } },
      '16',
    ],
    ['num_query_tokens', { num_query_tokens: -32 }, '-32'],
    ['image_token_index', { image_token_index: 'a' }, '"a"'],
    ['model_type', { model_type: 'blip' }, '"blip"'],
    ['the configuration', null, 'null'],
  ])('%s', (argument, json, received) => {
    let error: unknown;
    try {
      parseBlip2Config(json);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ArgumentError);
    expect(error).toMatchObject({ argument, received });
  });

  test('CLIP', () => {
    expect(() => parseClipVisionConfig({ num_hidden_layers: 1 })).toThrow(/at least 2/);
  });

  test('a preset that there is not', () => {
    expect(() => preset('blip2-opt-13b' as PresetName)).toThrow(ArgumentError);
  });

  test('models whose parts do not fit', () => {
    expect(() => new Blip2ForConditionalGeneration(blip2Config({ textConfig: { wordEmbedProjDim: 512 } }))).toThrow(
      /word_embed_proj_dim/,
    );
    expect(() => new Blip2ForImageTextRetrieval(blip2Config({}))).toThrow(/use_qformer_text_input/);
  });
});

describe('parameters of the released sizes', () => {
  const [VIT, VIT_COCO, QUERIES, QFORMER] = [985_952_256, 986_543_616, 24_576, 105_137_664];

  test.each<[PresetName, number, number, number]>([
    ['blip2-opt-2.7b', VIT, 1_968_640, 2_651_596_800 + 81_920],
    ['blip2-opt-2.7b-coco', VIT_COCO, 1_968_640, 2_651_596_800 + 81_920],
    ['blip2-opt-6.7b', VIT, 3_149_824, 6_658_473_984 + 131_072],
    ['blip2-opt-6.7b-coco', VIT_COCO, 3_149_824, 6_658_473_984 + 131_072],
    ['blip2-flan-t5-xl', VIT, 1_574_912, 2_849_757_184],
    ['blip2-flan-t5-xl-coco', VIT_COCO, 1_574_912, 2_849_757_184],
    ['blip2-flan-t5-xxl', VIT, 3_149_824, 11_135_332_352],
  ])('%s', (name, vision, projection, language) => {
    const model = meta(() => new Blip2ForConditionalGeneration(preset(name)));
    expect(model.visionModel.parameterCount()).toBe(vision);
    expect(model.queryTokens.numel).toBe(QUERIES);
    expect(model.qformer.parameterCount()).toBe(QFORMER);
    expect(model.languageProjection.parameterCount()).toBe(projection);
    expect(model.languageModel.parameterCount()).toBe(language);
    expect(model.parameterCount()).toBe(vision + QUERIES + QFORMER + projection + language);
  });

  test.each<[PresetName, number]>([
    ['blip2-flan-t5-xl', 2_783_959_040],
    ['blip2-flan-t5-xxl', 11_003_736_064],
  ])('%s with its word embedding as the output table', (name, language) => {
    const config = { ...(preset(name).textConfig as T5Config), tieWordEmbeddings: true };
    expect(meta(() => new T5ForConditionalGeneration(config)).parameterCount()).toBe(language);
  });

  test.each<[PresetName, number]>([
    ['blip2-itm-vit-g', VIT],
    ['blip2-itm-vit-g-coco', VIT_COCO],
  ])('%s', (name, vision) => {
    const model = meta(() => new Blip2ForImageTextRetrieval(preset(name)));
    expect(model.qformer.parameterCount()).toBe(161_825_280);
    expect(model.embeddings.parameterCount()).toBe(23_834_880);
    expect(model.visionProjection.parameterCount()).toBe(196_864);
    expect(model.parameterCount()).toBe(1_172_032_258 - VIT + vision);
  });
});
