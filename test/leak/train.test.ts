import {
  AdamW,
  Blip2ForConditionalGeneration,
  blip2Config,
  clipGradNorm,
  memory,
  randint,
  randn,
  scope,
  setThreads,
  threads,
} from '../../src/index.ts';
import { collected, growth } from '../support/resident.ts';

// One thread: several test files run at a time, and threads that wait for each other's cores would take minutes.
const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

const STEPS = 500;
const [BATCH, QUERIES, WORDS, VOCABULARY, IMAGE] = [4, 4, 8, 40, 39];

/** A BLIP-2 with every kind of layer, dropout on. */
function tiny(): Blip2ForConditionalGeneration {
  const shape = { hiddenSize: 32, numAttentionHeads: 2, numHiddenLayers: 2 };
  return new Blip2ForConditionalGeneration(
    blip2Config({
      numQueryTokens: QUERIES,
      imageTokenIndex: IMAGE,
      visionConfig: { ...shape, intermediateSize: 64, imageSize: 32, patchSize: 16 },
      qformerConfig: { ...shape, intermediateSize: 64 },
      textConfig: {
        ...shape,
        modelType: 'opt',
        vocabSize: VOCABULARY,
        ffnDim: 64,
        wordEmbedProjDim: 32,
        maxPositionEmbeddings: 32,
      },
    }),
  ).train();
}

test('500 training steps hold the number of live tensors exactly and the memory of the process nearly', async () => {
  const model = tiny();
  const optimizer = new AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.05 });
  const losses: number[] = [];
  const gained: number[] = [];
  const grown: number[] = [];
  const resident: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    // What other test files left to the collector goes only while the event loop turns, so not in here.
    const earlier = memory();
    const loss = scope(() => {
      const pixelValues = randn([BATCH, 3, 32, 32]);
      const inputIds = randint(3, IMAGE, [BATCH, QUERIES + WORDS]);
      inputIds.narrow(1, 0, QUERIES).fill_(IMAGE);
      const { loss } = model.forward({ pixelValues, inputIds, labels: inputIds.narrow(1, QUERIES, WORDS) });
      loss?.backward();
      clipGradNorm(model.parameters(), 1);
      optimizer.step();
      optimizer.zeroGrad();
      return loss?.item() ?? Number.NaN;
    });
    losses.push(loss);
    const later = memory();
    gained.push(later.tensors - earlier.tensors);
    grown.push(later.bytes - earlier.bytes);
    if (step % 10 === 9) {
      await collected();
      resident.push(process.memoryUsage.rss());
    }
  }
  expect(losses.every(Number.isFinite)).toBe(true);
  // The first step makes two moving averages a parameter, and no other leaves anything behind.
  const count = model.parameters().length;
  const [first, ...others] = gained;
  expect(first).toBe(2 * count);
  expect(new Set(others)).toEqual(new Set([0]));
  expect(new Set(grown.slice(1))).toEqual(new Set([0]));
  expect(growth(resident)).toBeLessThan(4);
  const { tensors } = memory();
  optimizer.dispose();
  model.dispose();
  expect(memory().tensors).toBe(tensors - 3 * count);
});
