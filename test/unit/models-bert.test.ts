import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  ArgumentError,
  Blip2ForImageTextRetrieval,
  Blip2ForPretraining,
  bertQFormerConfig,
  blip2Config,
  building,
  contrastMask,
  FileError,
  Generator,
  inferenceMode,
  initFromBert,
  loadSafetensors,
  parsePretrainingConfig,
  pretrainingConfigToJson,
  type QFormerConfig,
  StateDictError,
  saveSafetensors,
  scope,
  type Tensor,
} from '../../src/index.ts';
import { expectClose } from '../closeness.ts';

// A small BERT that transformers saved, in its own way and as old files have it (scripts/oracle/bert_files.py).
const fixtures = path.join(import.meta.dirname, '../fixtures/bert');
const io = loadSafetensors(path.join(fixtures, 'io.safetensors'));
const golden = (name: string): Tensor => io.get(name) as Tensor;
const fresh = path.join(fixtures, 'new');
const old = path.join(fixtures, 'old');
const WORDS = 61;

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(tmpdir(), 'blip2-bert-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

function pretraining(changes: Partial<QFormerConfig> = {}): Blip2ForPretraining {
  const config = parsePretrainingConfig({ num_query_tokens: 4, image_text_hidden_size: 8 });
  const qformerConfig = { ...bertQFormerConfig(fresh), encoderHiddenSize: 16, ...changes };
  const whole = parsePretrainingConfig(
    pretrainingConfigToJson({ ...config, qformerConfig, decoderTokenId: 0, eosTokenId: null }),
  );
  return building({ generator: new Generator(3) }, () => new Blip2ForPretraining(whole)).eval();
}

test("a BERT's configuration gives the Q-Former's, with a word more", () => {
  expect(bertQFormerConfig(fresh)).toMatchObject({
    vocabSize: WORDS + 1,
    hiddenSize: 24,
    numHiddenLayers: 3,
    numAttentionHeads: 3,
    intermediateSize: 48,
    maxPositionEmbeddings: 20,
    crossAttentionFrequency: 2,
    useQformerTextInput: true,
  });
});

describe.each([
  ['new', fresh],
  ['old', old],
])('%s names', (_, source) => {
  test('text passes through the Q-Former as through BERT', () => {
    const model = pretraining();
    const before = new Map([...model.stateDict()].map(([name, value]) => [name, value.clone()]));
    const report = initFromBert(model, source);
    inferenceMode(() =>
      scope(() => {
        const { lastHiddenState } = model.qformer.forward({
          textEmbeds: model.embeddings.forward(golden('ids')),
          attentionMask: contrastMask(golden('mask')),
        });
        const real = golden('mask').unsqueeze(-1);
        expectClose(lastHiddenState.mul(real), golden('hidden').mul(real));
        if (source === fresh) {
          const logits = model.cls.forward(lastHiddenState, model.embeddings.wordEmbeddings.weight);
          expect(logits.size(-1)).toBe(WORDS + 1);
          expectClose(logits.narrow(-1, 0, WORDS).mul(real), golden('logits').mul(real));
        }
      }),
    );
    for (const name of report.fresh)
      expect([
        name,
        model
          .stateDict()
          .get(name)
          ?.equal(before.get(name) as Tensor),
      ]).toEqual([name, true]);
    const kept = [...before.keys()].filter((name) =>
      model
        .stateDict()
        .get(name)
        ?.equal(before.get(name) as Tensor),
    );
    expect(kept.filter((name) => !report.fresh.includes(name))).toEqual([]);
    const patterns = source === fresh ? [] : [/^cls\./];
    const expected = [
      /\.crossattention\./,
      /^(?:query_tokens$|temp$|ln_vision\.|itm_head\.|(?:vision|text)_projection\.)/,
      ...patterns,
    ];
    expect(report.fresh.filter((name) => !expected.some((pattern) => pattern.test(name)))).toEqual([]);
    expect(report.fresh.filter((name) => name.includes('crossattention'))).toHaveLength(2 * 10);
  });
});

test('queries begin with the feed-forward blocks of text, and [DEC] with a random row', () => {
  const model = pretraining();
  const row = model.embeddings.wordEmbeddings.weight.select(0, WORDS).clone();
  initFromBert(model, fresh);
  for (const layer of model.qformer.encoder.layer) {
    const [query, text] = [
      [...layer.intermediateQuery.parameters(), ...layer.outputQuery.parameters()],
      [...(layer.intermediate?.parameters() ?? []), ...(layer.output?.parameters() ?? [])],
    ];
    expect(query).toHaveLength(6);
    for (const [i, tensor] of query.entries()) {
      expect(tensor.equal(text[i] as Tensor)).toBe(true);
      scope(() => tensor.detach().fill_(9));
      expect(tensor.equal(text[i] as Tensor)).toBe(false); // copies, which learn on their own
    }
  }
  const words = loadSafetensors(fresh).get('bert.embeddings.word_embeddings.weight') as Tensor;
  const table = model.embeddings.wordEmbeddings.weight;
  expect(table.narrow(0, 0, WORDS).equal(words)).toBe(true);
  expect(table.select(0, WORDS).equal(row)).toBe(true);
  expect(row.eq(0).sum().item()).toBe(0);
  expect(model.cls.predictions.bias.select(0, WORDS).item()).toBe(0);
});

test('a model without a language-model head, and one without text blocks', () => {
  const config = blip2Config({
    visionConfig: { hiddenSize: 16, intermediateSize: 16, numHiddenLayers: 1, numAttentionHeads: 2, imageSize: 28 },
    qformerConfig: bertQFormerConfig(fresh),
  });
  const model = building({ generator: new Generator(3) }, () => new Blip2ForImageTextRetrieval(config));
  const { fresh: kept } = initFromBert(model, fresh);
  expect(kept.filter((name) => name.startsWith('qformer.') && !name.includes('crossattention'))).toEqual([]);
});

describe('what does not fit is named, and nothing changed', () => {
  const failure = (body: () => unknown): unknown => {
    try {
      body();
    } catch (error) {
      return error;
    }
    throw new Error('nothing was thrown');
  };

  test.each<[string, Partial<QFormerConfig>, RegExp]>([
    [
      'width',
      { hiddenSize: 36 },
      /embeddings.word_embeddings.weight \[61, 24\] for embeddings.word_embeddings.weight \[62, 36\]/,
    ],
    ['positions', { maxPositionEmbeddings: 19 }, /position_embeddings.weight \[20, 24\] for .* \[19, 24\]/],
    ['fewer words', { vocabSize: 60 }, /word_embeddings.weight \[61, 24\] for .* \[60, 24\]/],
    ['fewer layers', { numHiddenLayers: 2 }, /unexpected \(16\): bert.encoder.layer.2.attention.output.LayerNorm/],
    ['more layers', { numHiddenLayers: 4 }, /missing \(22\): qformer.encoder.layer.3.attention.attention.query.weight/],
    ['heads', { numAttentionHeads: 4 }, /expected 3, as BERT has it for qformer_config.num_attention_heads but received 4/],
    ['activation', { hiddenAct: 'relu' }, /expected gelu, as BERT has it for qformer_config.hidden_act/],
  ])('%s', (_, changes, message) => {
    const model = pretraining(changes);
    const before = model.qformer.layernorm.weight?.clone() as Tensor;
    const error = failure(() => initFromBert(model, fresh)) as Error;
    expect(error.message).toMatch(message);
    expect(error instanceof StateDictError || error instanceof ArgumentError).toBe(true);
    expect(model.qformer.layernorm.weight?.equal(before)).toBe(true);
  });

  test('another kind of model, and a folder without weights', () => {
    const json = JSON.parse(fs.readFileSync(path.join(fresh, 'config.json'), 'utf8')) as object;
    const write = (changes: object): void =>
      fs.writeFileSync(path.join(folder, 'config.json'), JSON.stringify({ ...json, ...changes }));
    write({ model_type: 'roberta' });
    expect(() => bertQFormerConfig(folder)).toThrow(/config.json: expected "bert" for model_type but received "roberta"/);
    write({ position_embedding_type: 'relative_key' });
    expect(() => bertQFormerConfig(folder)).toThrow(FileError);
    write({});
    expect(() => initFromBert(pretraining(), folder)).toThrow(/expected model.safetensors, .* in the folder/);
    const tensors = loadSafetensors(fresh);
    tensors.set('bert.encoder.layer.1.attention.self.distance_embedding.weight', golden('hidden'));
    saveSafetensors(path.join(folder, 'model.safetensors'), tensors);
    expect(() => initFromBert(pretraining(), folder)).toThrow(/unexpected \(1\): bert.encoder.layer.1.attention.self.distance/);
  });
});
