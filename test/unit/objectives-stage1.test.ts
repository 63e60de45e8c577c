import path from 'node:path';
import { jest } from '@jest/globals';
import {
  ArgumentError,
  alone,
  autocast,
  Blip2ForPretraining,
  building,
  clearGradients,
  Generator,
  itmLoss,
  keep,
  layerNorm,
  loadSafetensors,
  manualSeed,
  matchingMask,
  noGrad,
  normal_,
  type ProcessGroup,
  parsePretrainingConfig,
  pretrainingConfigToJson,
  randint,
  randn,
  type Stage1Batch,
  type Stage1Losses,
  type Stage1Options,
  scope,
  setThreads,
  stage1Loss,
  type Tensor,
  tensor,
} from '../../src/index.ts';
import { addon } from '../../src/native/load.ts';
import { expectClose, expectGradientClose } from '../closeness.ts';
import { batchOf, buildGolden, type GoldenConfig, golden, readJson } from '../support/stage1.ts';

setThreads(1); // models this small only wait for each other's threads

const SMALL = {
  qformer_config: {
    vocab_size: 30,
    hidden_size: 16,
    num_hidden_layers: 3,
    num_attention_heads: 2,
    intermediate_size: 24,
    max_position_embeddings: 12,
    encoder_hidden_size: 10,
    initializer_range: 0.2,
  },
  num_query_tokens: 3,
  image_text_hidden_size: 8,
  initializer_range: 0.2,
};

function build(dtype: 'float32' | 'float64' = 'float32'): Blip2ForPretraining {
  const model = building({ generator: new Generator(1), dtype }, () => new Blip2ForPretraining(parsePretrainingConfig(SMALL)));
  noGrad(() => {
    for (const [name, parameter] of model.namedParameters()) {
      if (/norm/i.test(name)) normal_(parameter, 1, 0.3, new Generator(2)); // at 1 and 0 a mistake in their use would not show
    }
  });
  return model;
}

function makeBatch(
  count: number,
  options: { width?: number; imageIds?: number[]; dtype?: 'float32' | 'float64' } = {},
): Stage1Batch {
  const { width = 9, imageIds, dtype = 'float32' } = options;
  const lengths = Array.from({ length: count }, (_, i) => 3 + ((i * 2) % 5));
  const inputIds = randint(1, 29, [count, 9], { generator: new Generator(4) }).pad([0, width - 9]);
  for (const [i, length] of lengths.entries())
    inputIds
      .select(0, i)
      .narrow(0, length, width - length)
      .zero_();
  const imageFeatures = randn([count, 5, 10], { generator: new Generator(5), dtype });
  return { imageFeatures, inputIds, lengths, imageIds: imageIds && tensor(imageIds, { dtype: 'int64' }) };
}

/** Losses and gradients as numbers; parameters without a gradient are left out. */
function run(model: Blip2ForPretraining, batch: Stage1Batch, options: Stage1Options = {}) {
  return scope(() => {
    const result = stage1Loss(model, batch, { generator: new Generator(6), ...options });
    result.loss.backward();
    const entries = [...model.namedParameters()].flatMap(([name, { grad }]) => (grad === null ? [] : [[name, grad] as const]));
    const gradients = new Map(entries.map(([name, grad]) => [name, grad.clone()]));
    clearGradients(model.parameters());
    return { result, gradients };
  });
}

const number = (value: Tensor | null | undefined): number => (value as Tensor).item();

function expectFinite({ result, gradients }: { result: Stage1Losses; gradients: Map<string, Tensor> }): void {
  for (const loss of [result.loss, result.itc, result.itm, result.itg]) expect(Number.isFinite(number(loss))).toBe(true);
  for (const gradient of gradients.values()) expect(gradient.isfinite().all().item()).toBe(1);
  for (const value of Object.values(result.statistics) as Tensor[]) expect(Number.isFinite(value.item())).toBe(true);
}

describe('without negatives', () => {
  test.each([
    ['a batch of one', 1, undefined],
    ['all of one picture', 4, [3, 3, 3, 3]],
  ])('%s: matching learns from true pairs alone', (_, count, imageIds) => {
    scope(() => {
      const model = build();
      const found = run(model, makeBatch(count, imageIds && { imageIds }));
      expectFinite(found);
      expect(number(found.result.statistics.withoutNegatives)).toBe(count);
      expect(number(found.result.statistics.itmOtherText)).toBe(0);
    });
  });

  test('the loss is that of the true pairs', () => {
    scope(() => {
      const model = build().eval();
      const batch = makeBatch(4, { imageIds: [7, 7, 7, 7] });
      const mask = batch.inputIds.ne(0);
      const hidden = model.qformer.encode({
        queryEmbeds: model.queryTokens,
        textEmbeds: model.embeddings.forward(batch.inputIds),
        attentionMask: matchingMask(mask, 3),
        encoderKeyValues: model.imageKeyValues(batch.imageFeatures),
      }).queries as Tensor;
      const expected = itmLoss(model.itmHead.forward(hidden).mean(1), tensor([1n, 1n, 1n, 1n]));
      expectClose(run(model, batch).result.itm as Tensor, expected, 1e-6);
    });
  });
});

describe('what is left out', () => {
  test('an objective of weight 0 is null, and its statistics are not there', () => {
    scope(() => {
      const { result, gradients } = run(build(), makeBatch(3), { weights: { itg: 0, itm: 2 } });
      expect(result.itg).toBeNull();
      expect(Object.keys(result.statistics)).not.toContain('itgAccuracy');
      expect(number(result.loss)).toBeCloseTo(number(result.itc) + 2 * number(result.itm), 5);
      expect([...gradients.keys()].filter((name) => name.startsWith('cls.'))).toEqual([]);
    });
  });

  test.each<[string, (batch: Stage1Batch) => Stage1Batch, Stage1Options]>([
    ['weights', (batch) => batch, { weights: { itc: 0, itm: 0, itg: 0 } }],
    ['weights', (batch) => batch, { weights: { itk: 0 } as object }],
    ['weights.itm', (batch) => batch, { weights: { itm: Number.NaN } }],
    ['contrastGradient', (batch) => batch, { contrastGradient: 'neither' as 'own' }],
    ['lengths', (batch) => ({ ...batch, lengths: [3, 4] }), {}],
    ['lengths', (batch) => ({ ...batch, lengths: [3, 1, 4] }), {}],
    ['lengths', (batch) => ({ ...batch, lengths: [3, 10, 4] }), {}],
    ['imageIds', (batch) => ({ ...batch, imageIds: tensor([1n]) }), {}],
    ['imageFeatures and inputIds', (batch) => ({ ...batch, imageFeatures: batch.imageFeatures.narrow(0, 0, 2) }), {}],
  ])('what does not fit is named: %s', (argument, change, options) => {
    scope(() => {
      const attempt = (): unknown => stage1Loss(build(), change(makeBatch(3)), options);
      expect(attempt).toThrow(ArgumentError);
      expect(attempt).toThrow(expect.objectContaining({ argument }));
    });
  });
});

describe('what is spared', () => {
  test('padding beyond the longest text changes nothing', () => {
    scope(() => {
      const model = build().eval();
      const [narrow, wide] = [run(model, makeBatch(4)), run(model, makeBatch(4, { width: 12 }))];
      expectClose(wide.result.loss, narrow.result.loss, 1e-6);
      for (const [name, gradient] of narrow.gradients) expectGradientClose(wide.gradients.get(name) as Tensor, gradient, 1e-6);
    });
  });

  test("the LayerNorm's weight and bias in the projections are a LayerNorm before them", () => {
    scope(() => {
      const model = build('float64').eval();
      const features = randn([2, 5, 10], { dtype: 'float64' });
      const { weight, bias, eps } = model.lnVision as NonNullable<typeof model.lnVision>;
      const plain = model.qformer.crossKeyValues(layerNorm(features, [10], weight, bias, eps));
      const folded = model.imageKeyValues(features);
      const outputs = (all: typeof plain): Tensor[] =>
        all.flatMap((layer) => (layer === undefined ? [] : [layer.key, layer.value]));
      expect(outputs(folded)).toHaveLength(4);
      const gradients = (all: typeof plain): Map<string, Tensor> => {
        const loss = outputs(all).reduce<Tensor>(
          (sum, x, i) =>
            sum.add(
              x
                .mul(i + 1)
                .sin()
                .sum(),
            ),
          tensor(0, { dtype: 'float64' }),
        );
        loss.backward();
        const entries = [...model.namedParameters()].flatMap(([name, { grad }]) =>
          grad === null ? [] : [[name, grad] as const],
        );
        clearGradients(model.parameters());
        return new Map(entries);
      };
      for (const [i, mine] of outputs(folded).entries()) expectClose(mine, outputs(plain)[i] as Tensor, 1e-12);
      const [mine, theirs] = [gradients(folded), gradients(plain)];
      expect([...mine.keys()]).toEqual(expect.arrayContaining(['ln_vision.weight', 'ln_vision.bias']));
      expect([...mine.keys()]).toEqual([...theirs.keys()]);
      for (const [name, gradient] of mine) expectGradientClose(gradient, theirs.get(name) as Tensor, 1e-12);
    });
  });

  test('a step never waits for the device', () => {
    const model = build();
    const batch = makeBatch(6);
    const waiting = (['item', 'copyTo', 'synchronize'] as const).map((name) => jest.spyOn(addon, name));
    // Operators whose result the host has to wait for.
    const looking = ['nonzero', 'masked_select', 'equal', 'allclose', 'multinomial', '_local_scalar_dense', 'is_nonzero'];
    const numbers = new Set(looking.map((name) => addon.lookup(name)));
    const called = (['call', 'callSpread', 'callInPlace'] as const).map((name) => jest.spyOn(addon, name));
    try {
      scope(() => stage1Loss(model, batch, { generator: new Generator(1) }).loss.backward());
      expect(waiting.map((spy) => spy.mock.calls.length)).toEqual([0, 0, 0]);
      const operators = called.flatMap((spy) => spy.mock.calls.map(([operator]) => operator as number));
      expect(operators.length).toBeGreaterThan(300);
      expect(operators.filter((operator) => numbers.has(operator))).toEqual([]);
    } finally {
      for (const spy of [...waiting, ...called]) spy.mockRestore();
    }
    clearGradients(model.parameters());
  });
});

test('the generator alone decides which negatives are drawn', () => {
  scope(() => {
    const model = build().eval();
    const loss = (seed: number): number => number(run(model, makeBatch(8), { generator: new Generator(seed) }).result.itm);
    expect(loss(1)).toBe(loss(1));
    expect(new Set([1, 2, 3, 4, 5].map(loss)).size).toBeGreaterThan(1);
  });
});

test('statistics are what they are called', () => {
  scope(() => {
    const model = build().eval();
    const batch = makeBatch(5);
    const { statistics } = run(model, batch).result;
    expect(Object.keys(statistics).sort()).toEqual(
      [
        'imageToTextMargin',
        'itgAccuracy',
        'itmMatched',
        'itmOtherImage',
        'itmOtherText',
        'temperature',
        'textToImageMargin',
        'withoutNegatives',
      ].sort(),
    );
    for (const value of Object.values(statistics) as Tensor[]) expect([value.shape, value.requiresGrad]).toEqual([[], false]);
    expect(number(statistics.temperature)).toBeCloseTo(0.07, 6);
    // A head that says "match" to all knows every true pair and refuses none.
    noGrad(() => {
      model.itmHead.weight.zero_();
      model.itmHead.bias?.copy_(tensor([0, 1]));
    });
    const biased = run(model, batch).result.statistics;
    expect([biased.itmMatched, biased.itmOtherText, biased.itmOtherImage].map(number)).toEqual([1, 0, 0]);
  });
});

test('bfloat16 autocast stays near float32, and compares features in float32', () => {
  scope(() => {
    const model = build().eval();
    const exact = run(model, makeBatch(6)).result;
    const cast = scope(() => {
      const result = autocast({ dtype: 'bfloat16' }, () => stage1Loss(model, makeBatch(6), { generator: new Generator(6) }));
      result.loss.backward();
      return result;
    });
    for (const name of ['itc', 'itg'] as const) {
      expect(cast[name]?.dtype).toBe('float32');
      expect(Math.abs(number(cast[name]) - number(exact[name]))).toBeLessThan(0.15);
    }
    for (const { grad } of model.parameters()) expect(grad?.dtype).toBe('float32');
  });
});

test('two processes share a batch: their mean is the loss of the whole', () => {
  const folder = golden('stage1-image-ids');
  const io = loadSafetensors(path.join(folder, 'batch.safetensors'));
  const value = (key: string): Tensor => io.get(key) as Tensor;
  const model = buildGolden(readJson<GoldenConfig>(folder, 'config.json'), path.join(folder, 'weights.safetensors'));
  scope(() => {
    const whole = batchOf(value('image_embeds'), value('input_ids'), value('image_id'));
    const negatives = { images: value('neg_image_index'), texts: value('neg_text_index') };
    // What the processes would send each other: features from a run of the whole batch.
    const sent: Tensor[] = [];
    const record = (x: Tensor): Tensor => {
      sent.push(keep(x.detach()));
      return x.detach();
    };
    const recorder: ProcessGroup = { ...alone, gather: record };
    stage1Loss(model, whole, { negatives, group: recorder });
    const everything = [...sent, whole.imageFeatures, value('attention_mask'), whole.inputIds];
    const tokens = (value('attention_mask').sum().item() as number) - 6;
    const parts = [0, 1].map((rank) => {
      const own = (x: Tensor): Tensor => x.narrow(0, 3 * rank, 3);
      // What was sent is found by its own part.
      const gather = (x: Tensor): Tensor => {
        const found = everything.find(
          (all) => all.ndim === x.ndim && own(all).shape.join() === x.shape.join() && own(all).allclose(x, 1e-4, 1e-5),
        );
        if (found === undefined) throw new Error(`nobody sent [${x.shape.join(', ')}]`);
        return found;
      };
      const group: ProcessGroup = { rank, size: 2, gather, gatherWithGradient: gather };
      const batch = {
        imageFeatures: own(whole.imageFeatures),
        inputIds: own(whole.inputIds),
        lengths: whole.lengths.slice(3 * rank, 3 * rank + 3),
        imageIds: own(value('image_id')),
      };
      const result = stage1Loss(model, batch, {
        group,
        negatives: { images: own(negatives.images), texts: own(negatives.texts) },
      });
      const share = (batch.lengths.reduce((a, b) => a + b) - 3) / tokens;
      return { itc: result.itc?.div(2), itm: result.itm?.div(2), itg: result.itg?.mul(share) };
    });
    for (const name of ['itc', 'itm', 'itg'] as const) {
      const sum = parts.map((part) => part[name] as Tensor).reduce((a, b) => a.add(b));
      expectClose(sum, value(`loss_${name}`));
    }
  });
});

describe('the configuration', () => {
  test('is the same after writing and reading', () => {
    for (const json of [SMALL, {}, { vision_layer_norm: false }]) {
      const config = parsePretrainingConfig(json);
      expect(parsePretrainingConfig(pretrainingConfigToJson(config))).toEqual(config);
    }
  });

  test("of the paper has LAVIS's number of trained parameters", () => {
    const model = building({ device: 'meta' }, () => new Blip2ForPretraining(parsePretrainingConfig({})));
    expect(model.parameterCount()).toBe(186_705_470);
    const names = [...model.namedParameters().keys()];
    expect(names).toEqual(expect.arrayContaining(['ln_vision.weight', 'temp', 'cls.predictions.transform.LayerNorm.weight']));
  });

  test.each([
    ['qformer_config.use_qformer_text_input', { qformer_config: { use_qformer_text_input: false } }],
    ['decoder_token_id', { decoder_token_id: 30523 }],
    ['initial_temperature', { initial_temperature: 0 }],
    ['vision_layer_norm_eps', { vision_layer_norm_eps: -1 }],
  ])('names what is wrong: %s', (argument, json) => {
    expect(() => parsePretrainingConfig(json)).toThrow(expect.objectContaining({ argument }));
  });
});

test('dropout is on in training, and off in evaluation', () => {
  scope(() => {
    const model = build();
    const loss = (): number => number(run(model, makeBatch(4)).result.loss);
    manualSeed(1);
    const [first, second] = [loss(), loss()];
    expect(first).not.toBe(second);
    model.eval();
    expect(loss()).toBe(loss());
  });
});
