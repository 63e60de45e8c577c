import {
  ArgumentError,
  building,
  ClipVisionModel,
  FrozenEncoder,
  Generator,
  grad,
  memory,
  noGrad,
  type Parameter,
  parseClipVisionConfig,
  parseVisionConfig,
  randn,
  scope,
  type Tensor,
  VisionModel,
  zeros,
} from '../../src/index.ts';
import { interpolatePositions } from '../../src/models/vision/pixels.ts';
import { expectClose } from '../closeness.ts';

const SMALL = {
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  image_size: 24,
  patch_size: 8,
};
const eva = (other: object = {}): VisionModel => {
  const config = parseVisionConfig({ ...SMALL, initializer_range: 0.2, ...other });
  return building({ generator: new Generator(1) }, () => new VisionModel(config)).eval();
};
const clip = (): ClipVisionModel =>
  building({ generator: new Generator(1) }, () => new ClipVisionModel(parseClipVisionConfig(SMALL))).eval();

describe.each<[string, () => VisionModel | ClipVisionModel]>([
  ['EVA-CLIP', eva],
  ['CLIP', clip],
])('%s', (_, make) => {
  test.each<[string, readonly number[], boolean]>([
    ['too large', [1, 3, 32, 32], false],
    ['too small', [1, 3, 16, 24], false],
    ['grey', [1, 1, 24, 24], false],
    ['without a batch', [3, 24, 24], false],
    ['smaller than a patch, to be interpolated', [1, 3, 7, 24], true],
  ])('refuses pictures %s', (_name, shape, interpolatePosEncoding) => {
    const model = make();
    scope(() => {
      const run = () => model.forward(randn(shape), { interpolatePosEncoding });
      expect(run).toThrow(ArgumentError);
      expect(run).toThrow(interpolatePosEncoding ? '8 × 8' : '[B, 3, 24, 24]');
      expect(run).toThrow(`[${shape.join(', ')}]`);
    });
  });

  test('refuses pictures that are bytes still', () => {
    const model = make();
    scope(() => {
      const bytes = zeros([1, 3, 24, 24], { dtype: 'uint8' });
      expect(() => model.forward(bytes)).toThrow(
        'expected normalised pictures of floating-point numbers, as an ImageProcessor makes them, for pixelValues but received uint8',
      );
      expect(() => new FrozenEncoder(model).encode(bytes)).toThrow(/^expected normalised .* for pixelValues but received uint8$/);
    });
  });

  test('takes other sizes where positions are interpolated', () => {
    const model = make();
    scope(() => {
      const { lastHiddenState } = model.forward(randn([2, 3, 40, 17]), { interpolatePosEncoding: true });
      expect(lastHiddenState.shape).toEqual([2, 1 + 5 * 2, 16]);
    });
  });

  test('hidden states on request: the input, and the output of each block', () => {
    const model = make();
    noGrad(() =>
      scope(() => {
        const pixels = randn([1, 3, 24, 24]);
        const { hiddenStates, lastHiddenState } = model.forward(pixels, { hiddenStates: true });
        expect(hiddenStates).toHaveLength(model.encoder.layers.length + 1);
        expect(hiddenStates?.every((state) => !state.isFreed)).toBe(true);
        expect(model.forward(pixels).lastHiddenState.equal(lastHiddenState)).toBe(true);
      }),
    );
  });

  test('a pass in a scope leaves its result alone behind, and gradients come through what it freed', () => {
    const model = make();
    const pixels = randn([2, 3, 24, 24]);
    scope(() => model.forward(pixels));
    const before = memory().tensors;
    const { lastHiddenState } = scope(() => model.forward(pixels));
    expect(memory().tensors).toBe(before + 1);
    scope(() => lastHiddenState.square().sum().backward());
    for (const [name, parameter] of model.namedParameters()) {
      scope(() => expect([name, (parameter.grad as Tensor).isfinite().all().item()]).toEqual([name, 1]));
    }
    lastHiddenState.dispose();
  });
});

test('without biases of queries, keys and values', () => {
  const model = eva({ qkv_bias: false });
  expect([...model.stateDict().keys()].filter((name) => name.endsWith('qkv.bias'))).toEqual([]);
  scope(() => expect(model.forward(randn([1, 3, 24, 24])).lastHiddenState.shape).toEqual([1, 10, 16]));
});

test('dropout of attention acts in training only', () => {
  const model = eva({ attention_dropout: 0.5 });
  scope(() => {
    const pixels = randn([1, 3, 24, 24]);
    const calm = model.forward(pixels).lastHiddenState;
    expect(model.forward(pixels).lastHiddenState.equal(calm)).toBe(true);
    model.train();
    expect(model.forward(pixels).lastHiddenState.equal(calm)).toBe(false);
  });
});

describe('interpolation of positions', () => {
  test('the table itself where the size is its own, and exact copies of the class row', () => {
    scope(() => {
      const table = randn([1, 10, 4]);
      expect(interpolatePositions(table, 3, 3)).toBe(table);
      const larger = interpolatePositions(table, 5, 7);
      expect(larger.shape).toEqual([1, 36, 4]);
      expect(larger.select(1, 0).equal(table.select(1, 0))).toBe(true);
    });
  });

  test('gradients reach the table', () => {
    scope(() => {
      const table = randn([1, 5, 2]).requiresGrad_();
      const [slope] = grad([interpolatePositions(table, 3, 3).sum()], [table]) as [Tensor];
      expectClose(slope.sum(), randn([]).fill_(2 * (1 + 9)));
    });
  });
});

test('features in bfloat16 are those of float32 to its precision', () => {
  const model = eva();
  noGrad(() =>
    scope(() => {
      const pixels = randn([2, 3, 24, 24]);
      const exact = model.forward(pixels).lastHiddenState;
      model.to('bfloat16');
      expect((model.embeddings.classEmbedding as Parameter).dtype).toBe('bfloat16');
      expectClose(model.forward(pixels).lastHiddenState.float(), exact, 0.05);
    }),
  );
});
