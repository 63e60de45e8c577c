import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  type BatchStream,
  type CaptionedBatch,
  cat,
  initFromStage1,
  loadTrainedParts,
  newStage2Model,
  type OptConfig,
  openSafetensors,
  type Stage2Recipe,
  StateDictError,
  saveLavis,
  saveSafetensors,
  setThreads,
  stage2Trainer,
  type T5Config,
  type Tensor,
  threads,
} from '../../src/index.ts';
import { noise, tinyEncoder, tinyModel, tinyRecipe } from '../support/stage1-run.ts';
import { type Kind, tinyLanguageModel, tinyStage2, tinyStage2Model, wordTokenizer } from '../support/stage2-run.ts';
import { Notes, weights } from '../support/toy-run.ts';

// One thread: several test files run at a time, and threads that wait for each other's cores would take minutes.
const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-stage2-'));
afterAll(() => fs.rmSync(root, { recursive: true }));
let runs = 0;

type Options = Parameters<typeof tinyStage2>[1];
type Recipe = ReturnType<typeof tinyStage2>;

async function train(kind: Kind, options: Options, data?: (recipe: Recipe) => BatchStream<CaptionedBatch>) {
  const recipe = tinyStage2(kind, options);
  const [model, languageModel, notes] = [tinyStage2Model(recipe), tinyLanguageModel(recipe), new Notes()];
  const encoder = tinyEncoder(tinyRecipe());
  const before = weights(languageModel);
  const directory = path.join(root, String(runs++));
  const open = data === undefined ? noise(recipe) : () => data(recipe);
  const parts = { model, languageModel, encoder, tokenizer: wordTokenizer(kind), data: open };
  const trainer = stage2Trainer(recipe, { ...parts, directory, logs: [notes], signals: false });
  const result = await trainer.run();
  return { model, languageModel, before, notes, recipe, checkpoint: result.checkpoint };
}

const still = { hiddenDropoutProb: 0, attentionProbsDropoutProb: 0 } as const;

describe.each(['opt', 't5'] as const)('with %s', (kind) => {
  test('a run learns, logs its loss and statistics, and leaves the language model as it was', async () => {
    const run = await train(kind, { steps: 40 });
    const { notes, model, languageModel, recipe } = run;
    const [first] = notes.steps;
    expect(Object.keys(first?.losses ?? {}).sort()).toEqual(['lm', 'loss']);
    expect(Object.keys(first?.statistics ?? {}).sort()).toEqual(['lmAccuracy', 'tokens']);
    expect(first?.statistics.tokens).toBeGreaterThan(8);
    const mean = (steps: typeof notes.steps): number =>
      steps.reduce((sum, { losses }) => sum + (losses.lm as number), 0) / steps.length;
    expect(mean(notes.steps.slice(-8))).toBeLessThan(mean(notes.steps.slice(0, 8)) - 0.1);
    expect(weights(languageModel)).toEqual(run.before);
    const [fresh, trained] = [weights(newStage2Model(recipe)), weights(model)];
    for (const name of Object.keys(fresh)) if (!name.endsWith('.key.bias')) expect(trained[name]).not.toEqual(fresh[name]);
  });

  test('a checkpoint holds what is trained, and nothing else', async () => {
    const { model, checkpoint } = await train(kind, { steps: 1, schedule: { warmupSteps: 0 } });
    const file = openSafetensors(path.join(checkpoint, 'model.safetensors'));
    expect([...file.names].sort()).toEqual([...model.namedParameters().keys()].sort());
    file.close();
  });

  test('accumulated over batches it is, to rounding, one of the great batch', async () => {
    // Adam moves by the sign of small gradients, so rounding shows; a large eps keeps it to their size.
    const options = { steps: 3, batchSize: 8, model: { qformerConfig: still }, optimizer: { eps: 1 }, text: { split: null } };
    const schedule = { start: 1, peak: 1, floor: 1, warmupSteps: 0 };
    const small = await train(kind, { ...options, schedule, accumulation: 2 });
    const great = await train(kind, { ...options, schedule }, (recipe) => doubled(recipe));
    for (const [i, { losses }] of small.notes.steps.entries())
      expect(losses.lm).toBeCloseTo(great.notes.steps[i]?.losses.lm as number, 4);
  });

  test("the language model's dropout is off unless told, and on then in training alone", async () => {
    const quiet = { steps: 1, schedule: { warmupSteps: 0 }, model: { qformerConfig: still } };
    const losses = async (options: Options): Promise<number> => {
      const { notes, languageModel } = await train(kind, { ...quiet, ...options });
      expect(languageModel.training).toBe(false);
      return notes.steps[0]?.losses.lm as number;
    };
    const off = await losses({});
    expect(await losses({ seed: 1 })).toBe(off);
    expect(await losses({ languageModelDropout: true })).not.toBeCloseTo(off, 4);
  });

  test('in bfloat16 it follows float32', async () => {
    const options = { steps: 5, model: { qformerConfig: still } };
    const exact = await train(kind, options);
    const short = await train(kind, { ...options, precision: 'bfloat16', languageModelDtype: 'bfloat16' });
    expect(short.languageModel.parameters().every(({ dtype, requiresGrad }) => dtype === 'bfloat16' && !requiresGrad)).toBe(true);
    const last = (run: typeof exact): number => run.notes.steps.at(-1)?.losses.lm as number;
    expect(last(short)).not.toBe(last(exact));
    expect(Math.abs(last(short) - last(exact))).toBeLessThan(0.05 * last(exact));
  });
});

/** Two batches of the same stream put together, as one batch of twice the size. */
function doubled(recipe: Recipe): BatchStream<CaptionedBatch> {
  const stream = noise(tinyRecipe({ batchSize: recipe.batchSize / 2 }))();
  return {
    ...stream,
    async next() {
      const [a, b] = [await stream.next(), await stream.next()].map(({ value }) => value as CaptionedBatch);
      const pixelValues = cat([a?.pixelValues as Tensor, b?.pixelValues as Tensor]);
      return { done: false, value: { captions: [...(a?.captions ?? []), ...(b?.captions ?? [])], pixelValues } };
    },
  };
}

test('it starts where the first stage ended, whoever wrote the file', () => {
  const before = tinyModel(tinyRecipe());
  const [own, lavis] = [path.join(root, 'stage1.safetensors'), path.join(root, 'lavis.safetensors')];
  saveSafetensors(own, before.stateDict());
  saveLavis(before, lavis);
  const recipe = tinyStage2('opt', { seed: 9 });
  for (const file of [own, lavis]) {
    const model = tinyStage2Model(recipe);
    const drawn = weights(model);
    initFromStage1(model, file);
    const [now, from] = [weights(model), weights(before)];
    for (const name of Object.keys(drawn)) {
      const projection = name.startsWith('language_projection.');
      expect([name, now[name]]).toEqual([name, projection ? drawn[name] : from[name]]);
    }
    expect(() => loadTrainedParts(model, file)).toThrow(StateDictError);
    expect(() => loadTrainedParts(model, file)).toThrow('missing (2): language_projection.weight, language_projection.bias');
  }
});

test('a checkpoint of its own, or of LAVIS, is taken over whole; of another shape it is refused', () => {
  const recipe = tinyStage2('t5', { seed: 3 });
  const trained = tinyStage2Model(recipe);
  const [own, lavis] = [path.join(root, 'stage2.safetensors'), path.join(root, 'stage2-lavis.safetensors')];
  saveSafetensors(own, trained.stateDict());
  saveLavis(trained, lavis, { languageModel: 't5' });
  const stored = openSafetensors(lavis);
  expect(stored.has('t5_proj.weight')).toBe(true);
  stored.close();
  expect(() => saveLavis(trained, lavis, { languageModel: 'gpt' as 't5' })).toThrow(
    'expected opt or t5 for options.languageModel',
  );
  for (const file of [own, lavis]) {
    for (const load of [loadTrainedParts, initFromStage1]) {
      const model = tinyStage2Model(tinyStage2('t5'));
      load(model, file);
      expect(weights(model)).toEqual(weights(trained));
    }
    const deeper = tinyStage2Model(tinyStage2('t5', { model: { qformerConfig: { numHiddenLayers: 1 } } }));
    const untouched = weights(deeper);
    expect(() => initFromStage1(deeper, file)).toThrow(StateDictError);
    expect(weights(deeper)).toEqual(untouched);
    // Another language model needs another projection, and the queries and the Q-Former go on.
    const other = tinyStage2Model(
      tinyStage2('t5', { languageModel: { modelType: 't5', dModel: 32, numHeads: 2, vocabSize: 30 } }),
    );
    const drawn = weights(other)['language_projection.weight'];
    initFromStage1(other, file);
    expect(weights(other)['language_projection.weight']).toEqual(drawn);
    expect(weights(other).query_tokens).toEqual(weights(trained).query_tokens);
  }
});

test('models that the recipe does not say are refused', () => {
  const recipe = tinyStage2('opt');
  const run = {
    encoder: null,
    tokenizer: wordTokenizer('opt'),
    data: noise(tinyRecipe()),
    directory: path.join(root, 'refused'),
  };
  const [model, languageModel] = [tinyStage2Model(recipe), tinyLanguageModel(recipe)];
  const other = tinyStage2('t5');
  expect(() => stage2Trainer(other, { ...run, model, languageModel })).toThrow(
    'expected t5, 24 wide for languageModel but received opt, 24 wide',
  );
  const tiny = recipe.languageModel as OptConfig;
  const deeper = tinyStage2('opt', { languageModel: { ...tiny, numHiddenLayers: 3, dropout: 0.3 } });
  expect(() => stage2Trainer(deeper, { ...run, model, languageModel })).toThrow(
    'expected 3, as the wanted shape has it, for languageModel.config.numHiddenLayers but received 2',
  );
  const dropping = tinyStage2('opt', { languageModel: { ...tiny, dropout: 0.3 }, languageModelDropout: true });
  expect(() => stage2Trainer(dropping, { ...run, model, languageModel })).toThrow(
    'for languageModel.config.dropout but received 0.1',
  );
  const quiet = { ...dropping, languageModelDropout: false };
  expect(() => stage2Trainer(quiet, { ...run, model, languageModel })).not.toThrow();
  const [t5, exact] = (['gelu_new', 'gelu'] as const).map((denseActFn) =>
    tinyStage2('t5', { languageModel: { ...(other.languageModel as T5Config), denseActFn } }),
  ) as [Stage2Recipe, Stage2Recipe];
  const t5Parts = { ...run, model: tinyStage2Model(t5), languageModel: tinyLanguageModel(t5), tokenizer: wordTokenizer('t5') };
  expect(() => stage2Trainer(exact, t5Parts)).toThrow(
    'expected "gelu", as the wanted shape has it, for languageModel.config.denseActFn but received "gelu_new"',
  );
  const wider = tinyStage2Model(tinyStage2('opt', { model: { numQueryTokens: 3 } }));
  expect(() => stage2Trainer(recipe, { ...run, model: wider, languageModel })).toThrow('for model but received one of another');
  const long = tinyStage2('opt', { text: { maxLength: 4, prompt: 'a small red boat' } });
  expect(() => stage2Trainer(long, { ...run, model, languageModel })).toThrow(
    'expected fewer tokens than maxLength (4) for recipe.text.prompt but received 4',
  );
});
