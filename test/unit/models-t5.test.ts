import { parseT5Config, type T5Config } from '../../src/models/t5/config.ts';
import { T5Decoding } from '../../src/models/t5/decode.ts';
import { T5ForConditionalGeneration } from '../../src/models/t5/model.ts';
import { pastBias, positionBias, positionBuckets } from '../../src/models/t5/positions.ts';
import { building, RMSNorm } from '../../src/nn/index.ts';
import {
  cat,
  type Dtype,
  Generator,
  grad,
  inferenceMode,
  loadSafetensors,
  memory,
  ones,
  openSafetensors,
  randint,
  randn,
  type Safetensors,
  scope,
  setThreads,
  type Tensor,
  tensor,
  threads,
} from '../../src/tensor/index.ts';
import { expectClose, expectEqual, expectGradientClose } from '../closeness.ts';

// Made by scripts/oracle/t5_variants.py.
const FILE = 'test/fixtures/t5.safetensors';
const golden = loadSafetensors(FILE);
const recorded = (name: string): Tensor => golden.get(name) as Tensor;
const facts = openSafetensors(FILE) as Safetensors;
const configurations = JSON.parse(facts.metadata.get('facts') as string) as Record<string, object>;

const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

describe('the norm', () => {
  // Hugging Face rounds to half precision before it multiplies with the weight, which is not done here.
  test.each<[Dtype, number]>([
    ['float32', 1e-6],
    ['float16', 2e-3],
    ['bfloat16', 2e-2],
  ])('in %s', (dtype, tolerance) => {
    scope(() => {
      const norm = building({ dtype }, () => new RMSNorm(16));
      norm.weight.detach().copy_(recorded(`norm.${dtype}.weight`));
      const x = recorded('norm.x').to(dtype).clone().requiresGrad_();
      const y = norm.forward(x);
      expect(y.dtype).toBe(dtype);
      expectClose(y.float(), recorded(`norm.${dtype}.y`).float(), tolerance);
      const [dx, dw] = grad(
        [
          y
            .float()
            .mul(tensor([...Array(16).keys()]))
            .sum(),
        ],
        [x, norm.weight],
      ) as [Tensor, Tensor];
      expectGradientClose(dx.float(), recorded(`norm.${dtype}.grad`).float(), 10 * tolerance);
      expectGradientClose(dw.float(), recorded(`norm.${dtype}.weight_grad`).float(), 10 * tolerance);
    });
  });

  test('of sums in float32 in a half-precision model', () => {
    scope(() => {
      const norm = building({ dtype: 'float16' }, () => new RMSNorm(16));
      const x = recorded('norm.x').mul(1e5); // beyond float16
      const y = norm.forward(x);
      expect(y.dtype).toBe('float16');
      expectClose(y.float(), x.div(x.square().mean(-1, true).sqrt()), 2e-3);
    });
  });
});

describe('positions', () => {
  test.each([
    [32, 128],
    [8, 20],
    [5, 11],
    [64, 1000],
  ])('%i buckets up to a distance of %i', (buckets, maxDistance) => {
    for (const bidirectional of [true, false]) {
      scope(() => {
        const ours = positionBuckets(recorded('distances'), { bidirectional, buckets, maxDistance });
        expectEqual(ours, recorded(`buckets.${buckets}.${maxDistance}.${Number(bidirectional)}`).to('int64'));
      });
    }
  });

  test('the bias of a query and a key is that of their distance, and a last query sees the same', () => {
    scope(() => {
      const table = randn([8, 3]);
      const how = { bidirectional: false, buckets: 8, maxDistance: 20 };
      const bias = positionBias(table, 30, 30, how);
      expect(bias.shape).toEqual([1, 3, 30, 30]);
      for (const [i, j] of [
        [29, 0],
        [5, 5],
        [12, 3],
        [3, 12],
      ] as const) {
        const bucket = positionBuckets(tensor([j - i], { dtype: 'int64' }), how).item();
        expectEqual(bias.index(0, '...', i, j), table.select(0, bucket));
      }
      expectEqual(pastBias(table, 30, how), bias.narrow(2, 29, 1).contiguous());
      expectEqual(positionBias(table, 4, 7, how), positionBias(table, 7, 7, how).narrow(2, 0, 4).contiguous());
    });
  });
});

/** A model of the file, its weights in the model's dtypes. */
function variant(name: string): T5ForConditionalGeneration {
  const tieWordEmbeddings = !golden.has(`${name}.weights.lm_head.weight`);
  const config: T5Config = { ...parseT5Config(configurations[name]), tieWordEmbeddings };
  const model = new T5ForConditionalGeneration(config).eval();
  if (name === 'float16') {
    for (const [key, parameter] of model.namedParameters()) {
      if (!key.endsWith('.wo.weight')) scope(() => parameter.setData(parameter.detach().to('float16')));
    }
  }
  const weights = [...golden].filter(([key]) => key.startsWith(`${name}.weights.`));
  model.loadStateDict(new Map(weights.map(([key, value]) => [key.slice(`${name}.weights.`.length), value])));
  return model;
}

describe('all forms give the outputs of Hugging Face', () => {
  test.each([
    ['first', { isGatedAct: false, denseActFn: 'relu', scaleDecoderOutputs: true }, 1e-5],
    ['silu', { isGatedAct: true, denseActFn: 'silu', scaleDecoderOutputs: false }, 1e-5],
    ['flan', { isGatedAct: true, denseActFn: 'gelu_new', scaleDecoderOutputs: false }, 1e-5],
    ['float16', { isGatedAct: true, denseActFn: 'gelu_new', scaleDecoderOutputs: false }, 1e-2],
  ])('%s', (name, form, tolerance) => {
    const model = variant(name);
    expect(model.config).toMatchObject(form);
    inferenceMode(() =>
      scope(() => {
        const of = (part: string): Tensor => recorded(`${name}.${part}`);
        const encoded = model.encode(of('inputs'), of('mask'));
        expect(encoded.dtype).toBe(of('encoded').dtype);
        expectClose(encoded.float(), of('encoded').float(), tolerance);
        const hidden = model.forward(of('inputs'), of('mask'), of('decoder_ids'));
        expectClose(model.project(hidden).float(), of('logits').float(), tolerance);
      }),
    );
    model.dispose();
  });
});

const SMALL = {
  vocab_size: 30,
  d_model: 16,
  d_kv: 6,
  d_ff: 24,
  num_layers: 2,
  num_decoder_layers: 3,
  num_heads: 2,
  relative_attention_num_buckets: 8,
  relative_attention_max_distance: 10,
  feed_forward_proj: 'gated-gelu',
};

function build(overrides: Record<string, unknown> = {}): T5ForConditionalGeneration {
  const generator = new Generator(1);
  return building({ generator }, () => new T5ForConditionalGeneration(parseT5Config({ ...SMALL, ...overrides }))).eval();
}

const ids = (rows: readonly (readonly number[])[]): Tensor => tensor(rows, { dtype: 'int64' });

test("parameters have Hugging Face's names", () => {
  const names = [...build({ tie_word_embeddings: false, num_layers: 1, num_decoder_layers: 2 }).stateDict().keys()];
  const attention = (at: string): string[] => ['q', 'k', 'v', 'o'].map((part) => `${at}.${part}.weight`);
  const feed = (at: string): string[] => ['wi_0', 'wi_1', 'wo'].map((part) => `${at}.DenseReluDense.${part}.weight`);
  const expected = [
    ...attention('encoder.block.0.layer.0.SelfAttention'),
    'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight',
    'encoder.block.0.layer.0.layer_norm.weight',
    ...feed('encoder.block.0.layer.1'),
    'encoder.block.0.layer.1.layer_norm.weight',
    'encoder.final_layer_norm.weight',
    'decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight',
    ...[0, 1].flatMap((i) => [
      ...attention(`decoder.block.${i}.layer.0.SelfAttention`),
      ...attention(`decoder.block.${i}.layer.1.EncDecAttention`),
      ...feed(`decoder.block.${i}.layer.2`),
      ...[0, 1, 2].map((layer) => `decoder.block.${i}.layer.${layer}.layer_norm.weight`),
    ]),
    'decoder.final_layer_norm.weight',
    'shared.weight',
    'lm_head.weight',
  ];
  expect(names.sort()).toEqual(expected.sort());
});

test('labels move to the right behind the start token, and nothing to be predicted becomes padding', () => {
  scope(() => {
    const model = build({ decoder_start_token_id: 3, pad_token_id: 2 });
    const shifted = model.shiftRight(
      ids([
        [5, 6, 1],
        [7, -100, -100],
      ]),
    );
    expect(shifted.toArray()).toEqual([
      [3, 5, 6],
      [3, 7, 2],
    ]);
  });
});

describe('decoding from the caches gives the logits of the whole sequence', () => {
  test.each([
    ['no padding', [1, 1, 1, 1, 1], 3],
    ['right padding', [1, 1, 1, 0, 0], 3],
    ['padding in between', [1, 0, 1, 1, 0], 2],
    ['one continuation', [1, 1, 1, 1, 0], 1],
  ])('%s', (_, secondMask, width) => {
    const model = build();
    const tensors = memory().tensors;
    inferenceMode(() =>
      scope(() => {
        // Steps beyond the largest distance that has a bucket of its own.
        const [batch, steps] = [2, 14];
        const generator = new Generator(7);
        const embedded = randn([batch, 5, 16], { generator });
        const mask = ids([[1, 1, 1, 1, 1], secondMask]);
        const decoding = new T5Decoding(model, embedded, secondMask.includes(0) ? mask : null);
        const whole = (continuation: Tensor): Tensor => {
          const given = cat([continuation.narrow(1, 0, 1).mul(0), continuation], 1);
          return model.project(model.forward(embedded, mask, given)).select(1, given.size(1) - 1);
        };
        const start = ids([[0], [0]]);
        expectClose(decoding.prefill(width, steps), model.project(model.forward(embedded, mask, start)).select(1, 0));

        // Continuation w of a prompt, its tokens so far.
        let told = ids([[], []]).view(batch, 1, 0).expand(-1, width, -1);
        for (let t = 0; t < steps; t++) {
          const parents = t % 3 === 2 ? null : randint(0, width, [batch, width], { generator });
          const tokens = randint(0, 30, [batch, width], { generator });
          const logits = decoding.step(tokens, parents);
          const kept = parents === null || t === 0 ? told : told.gather(1, parents.unsqueeze(2).expand(-1, -1, t));
          told = cat([kept, tokens.unsqueeze(2)], 2);
          for (let w = 0; w < width; w++) expectClose(logits.select(1, w), whole(told.select(1, w)));
        }
        decoding.dispose();
      }),
    );
    expect(memory().tensors).toBe(tensors);
    model.dispose();
  });
});

test('padding on the right changes nothing, padding in front moves words apart', () => {
  const model = build();
  inferenceMode(() =>
    scope(() => {
      const words = randn([1, 4, 16], { generator: new Generator(3) });
      const pads = randn([1, 3, 16], { generator: new Generator(4) });
      const [seen, unseen] = [ones([1, 4], { dtype: 'int64' }), ones([1, 3], { dtype: 'int64' }).mul(0)];
      const decoder = ids([[0, 4, 9]]);
      const alone = model.forward(words, null, decoder);
      expectClose(model.forward(cat([words, pads], 1), cat([seen, unseen], 1), decoder), alone);
      const [first, rest] = [words.narrow(1, 0, 2), words.narrow(1, 2, 2)];
      const between = model.forward(
        cat([first, pads, rest], 1),
        cat([seen.narrow(1, 0, 2), unseen, seen.narrow(1, 0, 2)], 1),
        decoder,
      );
      expect(between.sub(alone).abs().max().item()).toBeGreaterThan(1e-3);
    }),
  );
});

test('what pads the decoder does not matter behind the text, and in front of it a mask hides it', () => {
  const model = build();
  inferenceMode(() =>
    scope(() => {
      const encoded = model.encode(randn([2, 4, 16], { generator: new Generator(3) }), null);
      const one = model.decode(ids([[0, 4, 9, 5]]), encoded.narrow(0, 0, 1), null);
      const both = model.decode(
        ids([
          [0, 4, 9, 5],
          [0, 4, 2, 2],
        ]),
        encoded,
        null,
      );
      expectClose(both.narrow(0, 0, 1), one);
      const given = ids([[7, 8, 0, 4]]);
      const mask = ids([[0, 0, 1, 1]]);
      const hidden = model.decode(given, encoded.narrow(0, 0, 1), null, mask);
      const other = model.decode(ids([[1, 2, 0, 4]]), encoded.narrow(0, 0, 1), null, mask);
      expectEqual(hidden.narrow(1, 2, 2).contiguous(), other.narrow(1, 2, 2).contiguous());
      expectClose(hidden.narrow(1, 2, 2), one.narrow(1, 0, 2)); // only distances count
    }),
  );
});

test('dropout is for training alone', () => {
  const model = build({ dropout_rate: 0.5 });
  scope(() => {
    const run = (): Tensor => model.forward(ones([1, 3, 16]), null, ids([[0, 4]]));
    expectEqual(run(), run());
    model.train();
    expect(run().equal(run())).toBe(false);
  });
});

test('a frozen model passes gradients on and takes none', () => {
  const model = build({ tie_word_embeddings: false }).freeze();
  scope(() => {
    const embedded = randn([2, 5, 16]).requiresGrad_();
    const [given] = grad([model.project(model.forward(embedded, null, ids([[0], [0]]))).sum()], [embedded]) as [Tensor];
    expect(given.abs().sum().item()).toBeGreaterThan(0);
    expect(model.parameters().every((parameter) => parameter.grad === null)).toBe(true);
  });
});
