import {
  ArgumentError,
  Blip2ForConditionalGeneration,
  Blip2ForImageTextRetrieval,
  type Blip2Inputs,
  blip2Config,
  building,
  crossEntropy,
  Generator,
  memory,
  ones,
  randint,
  randn,
  scope,
  type Tensor,
  tensor,
} from '../../src/index.ts';
import { expectClose } from '../closeness.ts';

const IMAGE = 30;
const [QUERIES, LENGTH] = [3, 5];

const parts = {
  visionConfig: {
    hiddenSize: 16,
    intermediateSize: 16,
    numHiddenLayers: 2,
    numAttentionHeads: 2,
    imageSize: 16,
    patchSize: 8,
    initializerRange: 0.1,
  },
  qformerConfig: {
    vocabSize: 40,
    hiddenSize: 16,
    intermediateSize: 16,
    numHiddenLayers: 2,
    numAttentionHeads: 2,
    useQformerTextInput: true,
  },
  textConfig: { vocabSize: 32, hiddenSize: 16, numHiddenLayers: 2, numAttentionHeads: 2, ffnDim: 24, maxPositionEmbeddings: 20 },
  numQueryTokens: QUERIES,
  imageTextHiddenSize: 8,
};
const config = blip2Config({ ...parts, imageTokenIndex: IMAGE });

const generation = building({ generator: new Generator(1) }, () => new Blip2ForConditionalGeneration(config)).eval();
const retrieval = building({ generator: new Generator(1) }, () => new Blip2ForImageTextRetrieval(blip2Config(parts))).eval();

const pictures = (batch: number): Tensor => randn([batch, 3, 16, 16]);

/** Rows of image tokens and text. */
function ids(batch: number, images = QUERIES): Tensor {
  return tensor(
    Array.from({ length: batch }, (_, row) => [...Array(images).fill(IMAGE), ...Array(LENGTH).fill(row + 3)]),
    { dtype: 'int64' },
  );
}

test('what is no tensor is named', async () => {
  const list = [1, 2] as unknown as Tensor;
  const [pixelValues, inputIds] = [pictures(1), ids(1)];
  const named = (argument: string) => expect.objectContaining({ name: 'ArgumentError', argument });
  expect(() => generation.forward(null as unknown as Blip2Inputs)).toThrow(named('inputs'));
  expect(() => generation.forward({ pixelValues: list, inputIds })).toThrow(named('pixelValues'));
  expect(() => generation.forward({ pixelValues, inputIds: list })).toThrow(named('inputIds'));
  expect(() => retrieval.forward(null as unknown as Blip2Inputs)).toThrow(named('inputs'));
  expect(() => retrieval.forward({ pixelValues, inputIds: list })).toThrow(named('inputIds'));
  expect(() => retrieval.encodeTexts(list)).toThrow(named('inputIds'));
  await expect(generation.generate(null as unknown as Blip2Inputs)).rejects.toEqual(named('inputs'));
  for (const signal of [{}, null, { aborted: false }] as unknown as AbortSignal[]) {
    await expect(generation.generate({ pixelValues }, { signal })).rejects.toEqual(named('signal'));
    await expect(generation.score({ pixelValues }, [[[3]]], { signal })).rejects.toEqual(named('signal'));
  }
  await expect(generation.generate({ pixelValues, inputIds: list })).rejects.toEqual(named('inputIds'));
  await expect(generation.generate({ pixelValues, inputIds, attentionMask: list })).rejects.toEqual(named('attentionMask'));
});

describe('inputs that an operator would refuse without their names, or nobody would read', () => {
  const mask = (length: number): Tensor => ones([1, length], { dtype: 'int64' });
  const wrong: [string, object, string, RegExp][] = [
    ['a misspelt name', { label: null }, 'inputs', /fields out of pixelValues, inputIds, .*received label/],
    ['a shorter mask', { attentionMask: mask(7) }, 'attentionMask', /a mask \[1, 8\].*int64 \[1, 7\]/],
    ['a mask without rows', { attentionMask: mask(8).select(0, 0) }, 'attentionMask', /int64 \[8\]/],
    ['ids that are no integers', { inputIds: ids(1).float() }, 'inputIds', /int64 or int32.*float32 \[1, 8\]/],
  ];
  const ofLabels: typeof wrong = [
    ['int32 labels', { labels: ids(1).to('int32') }, 'labels', /int64, a row .*int32 \[1, 8\]/],
    ['float labels', { labels: ids(1).float() }, 'labels', /float32/],
    ['labels of other rows', { labels: ids(2) }, 'labels', /ids \[1, L\].*int64 \[2, 8\]/],
    ['float decoder ids', { decoderInputIds: ids(1).float() }, 'decoderInputIds', /float32/],
    ['a shorter decoder mask', { labels: ids(1), decoderAttentionMask: mask(7) }, 'decoderAttentionMask', /\[1, 8\]/],
  ];
  const inputs = (): Blip2Inputs => ({ pixelValues: pictures(1), inputIds: ids(1) });
  const refused = (argument: string, message: RegExp) =>
    expect.objectContaining({ name: 'ArgumentError', argument, message: expect.stringMatching(message) });

  test.each([...wrong, ...ofLabels])('%s, given to forward', (_, given, argument, message) => {
    scope(() => expect(() => generation.forward({ ...inputs(), ...given })).toThrow(refused(argument, message)));
  });

  test.each(wrong.map(([what, given, argument, message]) => [what, given, argument, message, 'generate'] as const))(
    '%s, given to generate and score',
    async (_, given, argument, message) => {
      const list = argument === 'inputs' ? /fields out of pixelValues, languageModelInputs, / : message;
      await expect(generation.generate({ ...inputs(), ...given })).rejects.toEqual(refused(argument, list));
      await expect(generation.score({ ...inputs(), ...given }, [[[3]]])).rejects.toEqual(refused(argument, list));
    },
  );

  test('a mask without ids is one of the prompt that stands in for them', async () => {
    const { pixelValues } = inputs();
    await expect(generation.generate({ pixelValues, attentionMask: mask(8) })).rejects.toEqual(
      refused('attentionMask', /a mask \[1, 4\]/),
    );
    const { sequences } = await generation.generate({ pixelValues, attentionMask: mask(4) }, { maxNewTokens: 1 });
    expect(sequences.shape).toEqual([1, 5]);
  });

  test.each(wrong)('%s, given to retrieval', (_, given, argument, message) => {
    scope(() => expect(() => retrieval.forward({ ...inputs(), ...given })).toThrow(refused(argument, message)));
  });

  test('ids and masks of texts alone', () => {
    scope(() => {
      expect(() => retrieval.encodeTexts(ids(1), mask(7))).toThrow(refused('attentionMask', /\[1, 8\]/));
      const images = { imageFeatures: randn([1, 5, 16]) };
      expect(() => retrieval.match(images, ids(1).float())).toThrow(refused('inputIds', /float32/));
      expect(() => retrieval.match(images, ids(1), mask(7))).toThrow(refused('attentionMask', /\[1, 8\]/));
    });
  });

  test('int32 ids are ids', () => {
    scope(() => {
      const given = inputs();
      const same = generation.forward({ ...given, inputIds: given.inputIds.to('int32') });
      expect(same.logits.equal(generation.forward(given).logits)).toBe(true);
    });
  });
});

describe('pictures and ids that do not fit together', () => {
  test.each<[string, () => Blip2Inputs, string]>([
    [
      'more image tokens than queries',
      () => ({ pixelValues: pictures(2), inputIds: ids(2, 4) }),
      '3 image tokens (30) in each row for inputIds but received 4,4',
    ],
    ['fewer', () => ({ pixelValues: pictures(2), inputIds: ids(2, 2) }), '2,2'],
    ['none', () => ({ pixelValues: pictures(1), inputIds: ids(1, 0) }), '0'],
    ['as many pictures as rows', () => ({ pixelValues: pictures(2), inputIds: ids(3) }), 'ids [2, L]'],
    ['ids without a batch', () => ({ pixelValues: pictures(1), inputIds: ids(1).select(0, 0) }), 'ids [1, L]'],
    ['more labels than ids', () => ({ pixelValues: pictures(1), inputIds: ids(1), labels: ids(1, 9) }), 'at most 8'],
    ['a picture of another size', () => ({ pixelValues: randn([1, 3, 24, 24]), inputIds: ids(1) }), '[1, 3, 24, 24]'],
    [
      'more positions than there are',
      () => ({
        pixelValues: pictures(1),
        inputIds: randint(3, 9, [1, 30])
          .slice(1)
          .scatter(1, tensor([[0, 1, 2]], { dtype: 'int64' }), IMAGE),
      }),
      '20',
    ],
  ])('%s', (_, make, message) => {
    scope(() => {
      const inputs = make();
      expect(() => generation.forward(inputs)).toThrow(ArgumentError);
      expect(() => generation.forward(inputs)).toThrow(message);
    });
  });

  test('a configuration without an image token, or with one beyond the vocabulary', () => {
    for (const imageTokenIndex of [null, 32]) {
      const model = new Blip2ForConditionalGeneration({ ...config, imageTokenIndex });
      scope(() => expect(() => model.forward({ pixelValues: pictures(1), inputIds: ids(1) })).toThrow('image_token_index'));
    }
  });
});

test('the loss of fewer labels is that of the last positions', () => {
  scope(() => {
    const inputs = { pixelValues: pictures(2), inputIds: ids(2) };
    const { logits } = generation.forward(inputs);
    const labels = randint(0, 32, [2, 4]);
    const output = generation.forward({ ...inputs, labels });
    expect(output.logits.equal(logits.narrow(1, LENGTH + QUERIES - 4, 4))).toBe(true);
    const predictions = output.logits.narrow(1, 0, 3).reshape(6, 32);
    expectClose(output.loss as Tensor, crossEntropy(predictions, labels.narrow(1, 1, 3).reshape(6)), 1e-6);
  });
});

test('a training step in a scope leaves no tensor behind', () => {
  const step = (): void =>
    scope(() => {
      const inputIds = ids(2);
      (generation.forward({ pixelValues: pictures(2), inputIds, labels: inputIds }).loss as Tensor).backward();
      for (const parameter of generation.parameters()) parameter.grad = null;
    });
  step();
  const before = memory().tensors;
  for (let i = 0; i < 3; i++) step();
  expect(memory().tensors).toBe(before);
});

test('every parameter of the generating model learns, but for text that its Q-Former has blocks for', () => {
  scope(() => {
    const inputIds = ids(2);
    (generation.forward({ pixelValues: pictures(2), inputIds, labels: inputIds }).loss as Tensor).backward();
    const still = [...generation.namedParameters()].filter(([, parameter]) => parameter.grad === null).map(([name]) => name);
    expect(still.every((name) => /^qformer\.encoder\.layer\.\d\.(intermediate|output)\./.test(name))).toBe(true);
    for (const parameter of generation.parameters()) parameter.grad = null;
  });
});

describe('retrieval', () => {
  test('texts may be more than pictures for contrast, not for matching', () => {
    scope(() => {
      const inputs = {
        pixelValues: pictures(2),
        inputIds: randint(1, 40, [3, LENGTH]),
        attentionMask: ones([3, LENGTH], { dtype: 'int64' }),
      };
      expect(retrieval.forward(inputs).logitsPerImage.shape).toEqual([2, 3]);
      expect(() => retrieval.forward({ ...inputs, useImageTextMatchingHead: true })).toThrow('a row for each picture');
    });
  });

  test('no mask is a mask of ones', () => {
    scope(() => {
      const inputs = { pixelValues: pictures(2), inputIds: randint(1, 40, [2, LENGTH]) };
      const masked = { ...inputs, attentionMask: ones([2, LENGTH], { dtype: 'int64' }) };
      for (const useImageTextMatchingHead of [false, true]) {
        const expected = retrieval.forward({ ...masked, useImageTextMatchingHead }).logitsPerImage;
        expectClose(retrieval.forward({ ...inputs, useImageTextMatchingHead }).logitsPerImage, expected, 1e-6);
      }
    });
  });

  test('ids without text, where image tokens are expected', () => {
    const model = new Blip2ForImageTextRetrieval(blip2Config({ ...parts, imageTokenIndex: IMAGE }));
    scope(() => expect(() => model.forward({ pixelValues: pictures(1), inputIds: ids(1, 3).narrow(1, 0, 3) })).toThrow('3 ids'));
  });
});
