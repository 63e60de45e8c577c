import { Blip2ForConditionalGeneration, blip2Config } from '../../src/models/index.ts';
import { ArgumentError } from '../../src/native/errors.ts';
import { building } from '../../src/nn/index.ts';
import { Generator, inferenceMode, memory, randn, scope, setThreads, type Tensor, tensor } from '../../src/tensor/index.ts';

// However continuations are scored, the scores must be those of one pass over prompt and continuation.

setThreads(1);
const QUERIES = 3;
const IMAGE = 40;
const shared = {
  imageTokenIndex: IMAGE,
  numQueryTokens: QUERIES,
  visionConfig: { hiddenSize: 16, intermediateSize: 16, numHiddenLayers: 1, numAttentionHeads: 2, imageSize: 14, patchSize: 7 },
  qformerConfig: { hiddenSize: 16, intermediateSize: 16, numHiddenLayers: 2, numAttentionHeads: 2, encoderHiddenSize: 16 },
};
const configs = {
  opt: blip2Config({
    ...shared,
    textConfig: {
      modelType: 'opt',
      vocabSize: 41,
      hiddenSize: 16,
      ffnDim: 24,
      numHiddenLayers: 2,
      numAttentionHeads: 2,
      maxPositionEmbeddings: 20,
      initStd: 0.3,
    },
  }),
  t5: blip2Config({
    ...shared,
    textConfig: {
      modelType: 't5',
      vocabSize: 41,
      dModel: 16,
      dKv: 8,
      dFf: 24,
      numLayers: 2,
      numDecoderLayers: 2,
      numHeads: 2,
      initializerFactor: 1,
    },
  }),
};
type Kind = keyof typeof configs;

const build = (kind: Kind): Blip2ForConditionalGeneration =>
  building({ generator: new Generator(3) }, () => new Blip2ForConditionalGeneration(configs[kind])).eval();

const image = Array<number>(QUERIES).fill(IMAGE);
const PROMPTS: Record<Kind, readonly (readonly number[])[]> = {
  opt: [
    [...image, 2, 7, 9, 8],
    [...image, 1, 1, 2, 30],
  ],
  t5: [
    [...image, 7, 9, 8, 1],
    [...image, 30, 1, 0, 0],
  ],
};
const MASKS: Record<Kind, readonly (readonly number[])[]> = {
  opt: [
    [1, 1, 1, 1, 1, 1, 1],
    [1, 1, 1, 0, 0, 1, 1],
  ],
  t5: [
    [1, 1, 1, 1, 1, 1, 1],
    [1, 1, 1, 1, 1, 0, 0],
  ],
};
const ids = (rows: readonly (readonly number[])[]) => tensor(rows as number[][], { dtype: 'int64' });
const inputsOf = (kind: Kind): Record<'pixelValues' | 'inputIds' | 'attentionMask', Tensor> => ({
  pixelValues: randn([2, 3, 14, 14], { generator: new Generator(4) }),
  inputIds: ids(PROMPTS[kind]),
  attentionMask: ids(MASKS[kind]),
});

/** Different numbers of different lengths, and equal ones. */
const CONTINUATIONS = [
  [[5], [5, 6, 7, 8], [11, 2], [12], [5, 6]],
  [[9, 9, 9], [4], [39, 0]],
];

/** Σ log p of one continuation, from a pass over all of it. */
function direct(model: Blip2ForConditionalGeneration, kind: Kind, row: number, continuation: readonly number[]): number {
  return inferenceMode(() =>
    scope(() => {
      const { pixelValues, inputIds, attentionMask } = inputsOf(kind);
      const one = { pixelValues: pixelValues.narrow(0, row, 1), attentionMask: attentionMask.narrow(0, row, 1) };
      const prompt = inputIds.narrow(0, row, 1);
      const n = continuation.length;
      const { logits } =
        kind === 'opt'
          ? model.forward({
              pixelValues: one.pixelValues,
              inputIds: ids([[...(PROMPTS.opt[row] as number[]), ...continuation]]),
              attentionMask: ids([[...(MASKS.opt[row] as number[]), ...continuation.map(() => 1)]]),
            })
          : model.forward({ ...one, inputIds: prompt, labels: ids([continuation]) });
      // OPT's position before the first token predicts it; T5's decoder begins with the start token.
      const predicting = kind === 'opt' ? logits.narrow(1, prompt.size(1) - 1, n) : logits;
      return predicting
        .logSoftmax(-1)
        .gather(2, ids([continuation]).unsqueeze(-1))
        .sum()
        .item();
    }),
  );
}

describe.each<Kind>(['opt', 't5'])('%s', (kind) => {
  const model = build(kind);
  const expected = CONTINUATIONS.map((row, b) => row.map((continuation) => direct(model, kind, b, continuation)));
  afterAll(() => model.dispose());

  test.each([1, 2, 32])('%i at a time: the log-likelihoods of whole passes', async (width) => {
    const inputs = inputsOf(kind);
    const before = memory().tensors;
    const scores = await model.score(inputs, CONTINUATIONS, { width });
    expect(memory().tensors).toBe(before);
    for (const [b, row] of expected.entries()) {
      expect(scores[b]).toHaveLength(row.length);
      for (const [i, score] of row.entries()) {
        expect(Math.abs((scores[b]?.[i] as number) - score)).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(score)));
      }
    }
  });

  test('pictures that are encoded already give the same', async () => {
    const { pixelValues, ...text } = inputsOf(kind);
    const languageModelInputs = inferenceMode(() => model.encodeImages(pixelValues));
    expect(await model.score({ ...text, languageModelInputs }, CONTINUATIONS)).toEqual(
      await model.score({ ...text, pixelValues }, CONTINUATIONS),
    );
    const options = { maxNewTokens: 6, numBeams: 3 };
    const [ours, whole] = [
      await model.generate({ ...text, languageModelInputs }, options),
      await model.generate({ ...text, pixelValues }, options),
    ];
    expect(ours.sequences.toArray()).toEqual(whole.sequences.toArray());
  });

  test('a signal stops it and frees everything', async () => {
    const inputs = inputsOf(kind);
    const before = memory().tensors;
    const stop = new AbortController();
    const call = model.score(inputs, CONTINUATIONS, { signal: stop.signal, width: 1 });
    setImmediate(() => stop.abort(new Error('enough')));
    await expect(call).rejects.toThrow('enough');
    expect(memory().tensors).toBe(before);
  });
});

test('wrong continuations are named, and the caches freed', async () => {
  const model = build('opt');
  const inputs = inputsOf('opt');
  const before = memory().tensors;
  for (const [continuations, argument] of [
    [[[[1]]], 'continuations'],
    [[[[1]], []], 'continuations[1]'],
    [[[[1]], [[2], []]], 'continuations[1][1]'],
    [[[[1]], [[41]]], 'continuations'],
    [[[[1]], [[1.5]]], 'continuations'],
    [[[[1]], [Array<number>(14).fill(1)]], 'continuations[1][0]'],
  ] as const) {
    await expect(model.score(inputs, continuations)).rejects.toMatchObject({ name: 'ArgumentError', argument });
  }
  await expect(model.score(inputs, CONTINUATIONS, { width: 0 })).rejects.toThrow('width');
  const { pixelValues: _, ...text } = inputs;
  await expect(async () => model.score(text, CONTINUATIONS)).rejects.toThrow(ArgumentError);
  expect(memory().tensors).toBe(before);
  model.dispose();
});
