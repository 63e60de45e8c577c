import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  type BatchStream,
  type CaptionedBatch,
  cat,
  decayGroups,
  newStage1Model,
  scope,
  setThreads,
  stage1BatchSize,
  stage1Tower,
  stage1Trainer,
  type Tensor,
  threads,
} from '../../src/index.ts';
import { noise, tinyEncoder, tinyModel, tinyRecipe, tokenizer } from '../support/stage1-run.ts';
import { Notes, weights } from '../support/toy-run.ts';

// One thread: several test files run at a time, and threads that wait for each other's cores would take minutes.
const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-stage1-'));
afterAll(() => fs.rmSync(root, { recursive: true }));
let runs = 0;

type Options = NonNullable<Parameters<typeof tinyRecipe>[0]>;

async function train(options: Options, data?: (recipe: ReturnType<typeof tinyRecipe>) => BatchStream<CaptionedBatch>) {
  const recipe = tinyRecipe(options);
  const [model, notes] = [tinyModel(recipe), new Notes()];
  const directory = path.join(root, String(runs++));
  const open = data === undefined ? noise(recipe) : () => data(recipe);
  const trainer = stage1Trainer(recipe, {
    model,
    encoder: tinyEncoder(recipe),
    tokenizer,
    data: open,
    directory,
    logs: [notes],
    signals: false,
  });
  await trainer.run();
  return { model, notes, recipe };
}

const still = { hiddenDropoutProb: 0, attentionProbsDropoutProb: 0 } as const;

/** Two batches of the same stream put together, as one batch of twice the size. */
function doubled(recipe: ReturnType<typeof tinyRecipe>): BatchStream<CaptionedBatch> {
  const stream = noise({ ...recipe, batchSize: recipe.batchSize / 2 })();
  return {
    ...stream,
    async next() {
      const [a, b] = [await stream.next(), await stream.next()].map(({ value }) => value as CaptionedBatch);
      const pixelValues = cat([a?.pixelValues as Tensor, b?.pixelValues as Tensor]);
      return { done: false, value: { captions: [...(a?.captions ?? []), ...(b?.captions ?? [])], pixelValues } };
    },
  };
}

const largest = (a: Record<string, unknown>, b: Record<string, unknown>): number => {
  const flat = (x: unknown): number[] => (Array.isArray(x) ? x.flatMap(flat) : [x as number]);
  return Math.max(
    ...Object.keys(a).map((name) => Math.max(...flat(a[name]).map((value, i) => Math.abs(value - (flat(b[name])[i] as number))))),
  );
};

test('the decay is on all but vectors and biases, and on everything of two dimensions in the other manner', () => {
  const model = tinyModel(tinyRecipe());
  const named = new Map<Tensor, string>([...model.namedParameters()].map(([name, parameter]) => [parameter, name]));
  const names = (decay: 'not-vectors' | 'matrices'): (string[] | undefined)[] =>
    decayGroups(model.namedParameters(), { weightDecay: 0.05, decay }).map(({ parameters }) =>
      parameters.map((p) => named.get(p) as string),
    );
  const [decayed = [], plain = []] = names('not-vectors');
  expect(decayed).toEqual(
    expect.arrayContaining([
      'query_tokens',
      'temp',
      'embeddings.word_embeddings.weight',
      'embeddings.position_embeddings.weight',
    ]),
  );
  expect(plain).toEqual(expect.arrayContaining(['ln_vision.weight', 'ln_vision.bias', 'itm_head.bias', 'cls.predictions.bias']));
  expect(decayed.length + plain.length).toBe(named.size);
  const [matrices = []] = names('matrices');
  expect(decayed.filter((name) => !matrices.includes(name))).toEqual(['temp']);
});

test('a run logs three losses and their statistics, and ln_vision is trained', async () => {
  const { model, notes, recipe } = await train({ steps: 8 });
  const [first] = notes.steps;
  expect(Object.keys(first?.losses ?? {}).sort()).toEqual(['itc', 'itg', 'itm', 'loss']);
  for (const { losses } of notes.steps) {
    const { itc = 0, itm = 0, itg = 0 } = losses;
    expect(losses.loss).toBeCloseTo(itc + itm + itg, 4);
  }
  expect(first?.statistics).toMatchObject({ withoutNegatives: 0, temperature: expect.closeTo(0.07, 5) });
  expect(first?.learningRate).toBe(1e-6);
  const fresh = weights(newStage1Model(recipe));
  const trained = weights(model);
  for (const name of ['ln_vision.weight', 'ln_vision.bias', 'query_tokens', 'temp', 'cls.predictions.bias'])
    expect(trained[name]).not.toEqual(fresh[name]);
});

test('ITG accumulated over batches is, to rounding, that of the great batch; what contrasts within a batch is not', async () => {
  const run = async (weights: { itc: number; itm: number; itg: number }): Promise<number> => {
    // Adam moves by the sign of small gradients, so rounding shows; a large eps keeps it to their size.
    const options = { steps: 4, batchSize: 8, objective: { weights }, model: { qformerConfig: still }, optimizer: { eps: 1 } };
    const schedule = { start: 1, peak: 1, floor: 1, warmupSteps: 0 };
    const small = await train({ ...options, schedule, accumulation: 2 });
    const great = await train({ ...options, schedule }, doubled);
    expect(small.notes.steps.map(({ samples }) => samples)).toEqual([8, 16, 24, 32]);
    return largest(weightsOf(small), weightsOf(great));
  };
  const weightsOf = ({ model }: Awaited<ReturnType<typeof train>>): Record<string, unknown> => weights(model);
  const [itg, itc] = [await run({ itc: 0, itm: 0, itg: 1 }), await run({ itc: 1, itm: 0, itg: 0 })];
  expect(itg).toBeLessThan(1e-5);
  expect(itc).toBeGreaterThan(1e-4);
});

test('bfloat16 autocast follows float32', async () => {
  const [exact, short] = [await train({ steps: 6 }), await train({ steps: 6, precision: 'bfloat16' })];
  const last = (run: typeof exact): number => run.notes.steps.at(-1)?.losses.itg as number;
  expect(last(short)).not.toBe(last(exact));
  expect(Math.abs(last(short) - last(exact))).toBeLessThan(0.05);
});

test("towers have the recipe's shape, and data its size", () => {
  const recipe = tinyRecipe({ batchSize: 12, accumulation: 3 });
  expect(stage1BatchSize(recipe)).toBe(4);
  const tower = stage1Tower(recipe);
  expect(tower.parameters()[0]?.device).toBe('meta');
  scope(() => expect(tower.namedParameters().has('encoder.layers.1.mlp.fc2.weight')).toBe(true));
});
