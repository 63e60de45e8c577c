import {
  ArgumentError,
  building,
  captionMask,
  contrastMask,
  Generator,
  manualSeed,
  matchingMask,
  memory,
  parseQFormerConfig,
  QFormerEmbeddings,
  QFormerModel,
  randint,
  randn,
  scope,
  type Tensor,
  tensor,
  unifiedMask,
} from '../../src/index.ts';
import { expectClose, expectGradientClose } from '../closeness.ts';

const [BATCH, QUERIES, LENGTH, WIDTH] = [2, 3, 4, 16];
const SMALL = {
  vocab_size: 20,
  hidden_size: WIDTH,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  intermediate_size: 24,
  max_position_embeddings: 6,
  initializer_range: 0.2,
};

function build(other: object = {}): { model: QFormerModel; embeddings: QFormerEmbeddings } {
  const config = parseQFormerConfig({ ...SMALL, use_qformer_text_input: true, ...other }, 10);
  return building({ generator: new Generator(1) }, () => ({
    model: new QFormerModel(config).eval(),
    embeddings: new QFormerEmbeddings(config),
  }));
}

const tokens = (): Tensor =>
  tensor(
    [
      [1, 1, 1, 1],
      [1, 1, 0, 0],
    ],
    { dtype: 'int64' },
  ); // prettier-ignore

const rows = (mask: Tensor, batch: number): string[] =>
  (mask.select(0, batch).select(0, 0).toArray() as number[][]).map((row) => row.join(''));

describe('masks', () => {
  test('image-text contrast: all but padding', () => {
    scope(() => expect([rows(contrastMask(tokens()), 0), rows(contrastMask(tokens()), 1)]).toEqual([['1111'], ['1100']]));
  });

  test('image-text matching: queries and all but padding', () => {
    scope(() => expect(rows(matchingMask(tokens(), 3), 1)).toEqual(['1111100']));
  });

  test('generation in one pass: queries see queries, text the queries and what is before it', () => {
    scope(() => {
      const expected = ['1110000', '1110000', '1110000', '1111000', '1111100', '1111110', '1111111'];
      expect(rows(unifiedMask(tokens(), 3), 0)).toEqual(expected);
      expect(rows(unifiedMask(tokens(), 3), 1)).toEqual([...expected.slice(0, 5), '1111100', '1111100']);
    });
  });

  test('generation over cached positions: the last rows of that', () => {
    scope(() => {
      const whole = rows(unifiedMask(tokens(), 3), 1);
      expect(rows(captionMask(tokens(), 3), 1)).toEqual(whole.slice(3));
      expect(rows(captionMask(tokens(), 3, 2), 1)).toEqual(whole.slice(5));
    });
  });
});

describe('a pass', () => {
  test('single queries are those repeated for every row', () => {
    const { model } = build();
    scope(() => {
      const queryEmbeds = randn([1, QUERIES, WIDTH]);
      const encoderHiddenStates = randn([BATCH, 5, 10]);
      const one = model.forward({ queryEmbeds, encoderHiddenStates }).lastHiddenState;
      const repeated = queryEmbeds.repeat(BATCH, 1, 1);
      expectClose(model.forward({ queryEmbeds: repeated, encoderHiddenStates }).lastHiddenState, one, 1e-6);
      const encoderKeyValues = model.crossKeyValues(encoderHiddenStates);
      expect(encoderKeyValues.map((layer) => layer !== undefined)).toEqual([true, false, true]);
      expect(model.forward({ queryEmbeds, encoderKeyValues }).lastHiddenState.equal(one)).toBe(true);
    });
  });

  test('leaves its result alone behind', () => {
    const { model } = build();
    const queryEmbeds = randn([1, QUERIES, WIDTH]);
    const encoderHiddenStates = randn([BATCH, 5, 10]);
    scope(() => model.forward({ queryEmbeds, encoderHiddenStates }));
    const before = memory().tensors;
    const output = scope(() => model.forward({ queryEmbeds, encoderHiddenStates }));
    expect(memory().tensors).toBe(before + 1);
    output.lastHiddenState.dispose();
  });

  test('gradients through cached queries are those of the single pass', () => {
    const { model, embeddings } = build();
    scope(() => {
      const queryEmbeds = randn([1, QUERIES, WIDTH]).requiresGrad_();
      const encoderHiddenStates = randn([BATCH, 5, 10]);
      const textEmbeds = embeddings.forward(randint(0, 20, [BATCH, LENGTH])).detach();
      const weights = randn([BATCH, LENGTH, WIDTH]);
      const gradients = (text: Tensor): Map<string, Tensor> => {
        text.mul(weights).sum().backward();
        const found = new Map(
          [...model.namedParameters()].flatMap(([name, { grad }]) => (grad === null ? [] : [[name, grad.clone()]])),
        );
        found.set('queries', (queryEmbeds.grad as Tensor).clone());
        for (const parameter of [...model.parameters(), queryEmbeds]) parameter.grad = null;
        return found;
      };
      const attentionMask = unifiedMask(tokens(), QUERIES);
      const single = model.forward({ queryEmbeds, textEmbeds, attentionMask, encoderHiddenStates }).lastHiddenState;
      const expected = gradients(single.narrow(1, QUERIES, LENGTH));
      const { keyValues } = model.forward({ queryEmbeds, encoderHiddenStates, cache: true });
      const cached = model.forward({ textEmbeds, attentionMask: captionMask(tokens(), QUERIES), pastKeyValues: keyValues });
      const found = gradients(cached.lastHiddenState);
      expect(found.size).toBeGreaterThan(60);
      for (const [name, value] of found) expectGradientClose(value, expected.get(name) as Tensor);
    });
  });

  test('dropout acts in training only, and draws for every row', () => {
    const { model } = build({ hidden_dropout_prob: 0.3, attention_probs_dropout_prob: 0.3 });
    scope(() => {
      const inputs = { queryEmbeds: randn([1, QUERIES, WIDTH]), encoderHiddenStates: randn([1, 5, 10]).repeat(BATCH, 1, 1) };
      const calm = model.forward(inputs).lastHiddenState;
      expectClose(calm.select(0, 0), calm.select(0, 1), 1e-6);
      model.train();
      manualSeed(3);
      const noisy = model.forward(inputs).lastHiddenState;
      expect(noisy.select(0, 0).equal(noisy.select(0, 1))).toBe(false);
      manualSeed(3);
      expect(model.forward(inputs).lastHiddenState.equal(noisy)).toBe(true);
    });
  });

  test('works in its own dtype', () => {
    const { model } = build();
    scope(() => {
      const inputs = {
        queryEmbeds: randn([1, QUERIES, WIDTH]).to('bfloat16'),
        encoderHiddenStates: randn([1, 5, 10]).to('bfloat16'),
      };
      expect(model.forward(inputs).lastHiddenState.dtype).toBe('float32');
    });
  });

  test('refuses what it cannot do', () => {
    const { model, embeddings } = build();
    const plain = build({ use_qformer_text_input: false }).model;
    scope(() => {
      const textEmbeds = randn([BATCH, LENGTH, WIDTH]);
      expect(() => model.forward({})).toThrow(ArgumentError);
      expect(() => model.forward({ queryEmbeds: randn([1, QUERIES, WIDTH]) })).toThrow('encoderHiddenStates');
      expect(() => plain.forward({ textEmbeds })).toThrow('use_qformer_text_input');
      expect(() => embeddings.forward(randint(0, 20, [BATCH, 7]))).toThrow('at most 6');
      expect(() => embeddings.forward(randint(0, 20, [BATCH, 1]), 6)).toThrow('at most 6');
    });
  });
});
