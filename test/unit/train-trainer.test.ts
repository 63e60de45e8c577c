import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { jest } from '@jest/globals';
import {
  AdamW,
  type BatchStream,
  cat,
  loadSafetensors,
  memory,
  NonFiniteError,
  noGrad,
  rand,
  StateDictError,
  type StepLosses,
  setThreads,
  type TrainerOptions,
  threads,
} from '../../src/index.ts';
import type { Json } from '../../src/native/files.ts';
import { readProgress } from '../../src/train/checkpoint.ts';
import { numbers, type Toy, type ToyBatch, ToyObjective, toy, weights } from '../support/toy-run.ts';

// One thread: several test files run at a time, and threads that wait for each other's cores would take minutes.
const initial = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(initial));

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-train-'));
afterAll(() => fs.rmSync(root, { recursive: true }));
let runs = 0;
const folder = (): string => path.join(root, String(runs++));
const saved = (directory: string): string[] => fs.readdirSync(path.join(directory, 'checkpoints')).sort();

test('every step is logged once, with its own numbers, and the loss falls', async () => {
  const before = memory().tensors;
  const { trainer, notes, model } = toy(folder(), { steps: 40, schedule: () => 0.03 });
  expect(await trainer.run()).toMatchObject({ reason: 'done', step: 40, samples: 320, best: null });
  expect(notes.steps.map(({ step, samples }) => [step, samples])).toEqual(
    Array.from({ length: 40 }, (_, i) => [i + 1, 8 * (i + 1)]),
  );
  for (const { losses, statistics, gradientNorm, samplesPerSecond, dataWait, memory, learningRate } of notes.steps) {
    expect(losses.loss).toBe(losses.square);
    expect(Number.isFinite(statistics.bias)).toBe(true);
    expect(gradientNorm).toBeGreaterThan(0);
    expect(samplesPerSecond).toBeGreaterThan(0);
    expect(dataWait >= 0 && dataWait <= 1).toBe(true);
    expect(memory).toBeGreaterThan(2 ** 20);
    expect(learningRate).toBe(0.03);
  }
  const mean = (from: number): number =>
    notes.steps.slice(from, from + 5).reduce((sum, { losses }) => sum + (losses.square as number), 0);
  expect(mean(35)).toBeLessThan(0.5 * mean(0));
  expect([notes.opened, notes.closed]).toEqual([[0], 1]);
  model.dispose();
  expect(memory().tensors).toBe(before);
});

/** Batches of `count` others put together. */
function joined(stream: BatchStream<ToyBatch>, count: number): BatchStream<ToyBatch> {
  return {
    ...stream,
    async next() {
      const parts: ToyBatch[] = [];
      while (parts.length < count) parts.push((await stream.next()).value as ToyBatch);
      return { done: false, value: { x: cat(parts.map(({ x }) => x)) } };
    },
  };
}

test('accumulated batches of different sizes train as one batch of them all', async () => {
  const sizes = [2, 6, 1];
  const one = toy(folder(), { accumulation: 3, data: numbers(sizes), steps: 5 }, 0);
  const other = toy(folder(), { data: () => joined(numbers(sizes)(), 3), steps: 5 }, 0);
  expect(await one.trainer.run()).toMatchObject({ samples: 45 });
  await other.trainer.run();
  for (const [i, { losses, gradientNorm }] of one.notes.steps.entries()) {
    expect(losses.square).toBeCloseTo(other.notes.steps[i]?.losses.square as number, 5);
    expect(losses.loss).toBeCloseTo(losses.square as number, 5);
    expect(gradientNorm).toBeCloseTo(other.notes.steps[i]?.gradientNorm as number, 4);
  }
  const [a, b] = [one, other].map(({ model }) => (weights(model)['inner.weight'] as number[][]).flat());
  for (const [i, value] of (a as number[]).entries()) expect(value).toBeCloseTo(b?.[i] as number, 5);
});

test('clipping bounds the step, and the norm before it is logged', async () => {
  const clipped = toy(folder(), { clipNorm: 1e-9, steps: 3, schedule: () => 1 });
  const before = weights(clipped.model);
  await clipped.trainer.run();
  expect(clipped.notes.steps[0]?.gradientNorm).toBeGreaterThan(0.1);
  // Adam's step is as large for small gradients, but for its eps of 1e-8, under which all of these are.
  const moved = Math.abs(
    ((weights(clipped.model)['outer.bias'] as number[])[0] as number) - ((before['outer.bias'] as number[])[0] as number),
  );
  expect(moved).toBeLessThan(0.3);
});

describe('a step that is not finite', () => {
  /** Batch 4, of step 5, has 7 rows. */
  const SIZES = [8, 8, 8, 8, 7, 8, 8, 8, 8, 8];
  const spoiled = (value: number) => numbers(SIZES, (x) => x.size(0) === 7 && x.fill_(value));

  /** A gradient that is NaN, of a loss that is not. */
  class Kinked extends ToyObjective {
    override losses(batch: ToyBatch, shares: Readonly<Record<string, number>>): StepLosses {
      const { loss, losses } = super.losses(batch, shares);
      const { bias } = this.model.inner;
      if (batch.x.size(0) !== 7 || bias === null) return { loss, losses };
      return { loss: loss.add(bias.sub(bias.detach()).abs().sqrt().sum()), losses };
    }
  }

  test.each<[string, string, (run: { model: Toy }) => Partial<TrainerOptions<ToyBatch>>]>([
    ['batch', 'x', () => ({ data: spoiled(Number.NaN) })],
    [
      'parameter',
      'inner.weight',
      ({ model }) => ({
        schedule: (step) => {
          if (step === 4) noGrad(() => model.inner.weight.select(0, 0).fill_(Number.POSITIVE_INFINITY));
          return 1e-2 / (1 + step);
        },
      }),
    ],
    ['output', 'dropout', () => ({ data: spoiled(3e38) })],
    ['loss', 'square', () => ({ data: spoiled(1e25) })],
    ['gradient', 'inner.bias', ({ model }) => ({ objective: new Kinked(model) })],
  ])('is repeated, and its first bad %s is named: %s', async (foundIn, tensor, broken) => {
    const directory = folder();
    const { trainer, model, notes } = toy(
      directory,
      (run) => ({ data: numbers(SIZES), checkpoints: { every: 3 }, ...broken(run) }),
      0.5,
    );
    const error = await trainer.run().catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(NonFiniteError);
    const checkpoint = path.join(directory, 'checkpoints/step-00000003');
    expect(error).toMatchObject({ code: 'ERR_NON_FINITE', step: 5, tensor, foundIn, checkpoint });
    expect(notes.messages.at(-1)).toBe((error as Error).message);
    expect(notes.steps.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
    expect(notes.closed).toBe(1);
    // Neither that step nor the next, which had begun when it was seen, has moved anything.
    const four = toy(folder(), { data: numbers(SIZES), steps: 4 }, 0.5);
    await four.trainer.run();
    if (foundIn !== 'parameter') expect(weights(model)).toEqual(weights(four.model));
    expect(saved(directory)).toEqual(['step-00000003']);
    // From the checkpoint it goes on as if nothing had been.
    const again = toy(directory, { data: numbers(SIZES), resume: true, steps: 4 }, 0.5);
    await again.trainer.run();
    expect(weights(again.model)).toEqual(weights(four.model));
  });

  test('in the last step is seen, too, and leaves no checkpoint', async () => {
    const directory = folder();
    const { trainer } = toy(directory, { data: spoiled(Number.NaN), steps: 5 });
    await expect(trainer.run()).rejects.toThrow(
      "step 5 gave numbers that are infinite or NaN: the first is the batch's x. There is no checkpoint yet",
    );
    expect(saved(directory)).toEqual([]);
  });

  test('in float16 an overflow of gradients alone halves the scale and goes on', async () => {
    const steps = 12;
    const { trainer, notes, model } = toy(folder(), { precision: 'float16', steps, schedule: () => 1e-2 });
    const before = weights(model);
    await trainer.run();
    const scales = notes.steps.map(({ lossScale }) => lossScale as number);
    expect(scales[0]).toBe(65536);
    for (const [i, scale] of scales.entries()) if (i > 0) expect([1, 0.5]).toContain(scale / (scales[i - 1] as number));
    expect(notes.steps).toHaveLength(steps);
    expect(weights(model)).not.toEqual(before);
    // A batch that is not finite itself is still an end.
    const spoiledRun = toy(folder(), { precision: 'float16', data: spoiled(Number.NaN) });
    await expect(spoiledRun.trainer.run()).rejects.toThrow(NonFiniteError);
  });
});

describe('checkpoints', () => {
  test('the last ones and the best are kept, and evaluations change nothing', async () => {
    const directory = folder();
    const values = [3, 7, 5, 6, 4, 2];
    const evaluation = {
      every: 2,
      run: async (step: number) => {
        rand([100]); // draws from the generator behind dropout
        expect(run.model.dropout.training).toBe(false);
        return { score: values[step / 2 - 1] as number };
      },
      best: { metric: 'score', better: 'higher' },
    } as const;
    const run = toy(directory, { steps: 12, evaluation, checkpoints: { every: 3, keepLast: 2 } });
    expect(await run.trainer.run()).toMatchObject({ best: { step: 4, value: 7 } });
    expect(saved(directory)).toEqual(['step-00000004', 'step-00000009', 'step-00000012']);
    expect(run.notes.evaluations.map(([step, { score }]) => [step, score])).toEqual(values.map((value, i) => [2 * i + 2, value]));
    expect(run.model.dropout.training).toBe(true);
    const plain = toy(folder(), { steps: 12 });
    await plain.trainer.run();
    expect(weights(run.model)).toEqual(weights(plain.model));
  });

  test('the time that they take does not count as training, nor is it taken off twice', async () => {
    const rename = fs.renameSync;
    const slow = jest.spyOn(fs, 'renameSync').mockImplementation((from, to) => {
      for (const end = performance.now() + 60; performance.now() < end; );
      rename(from, to);
    });
    const data = (state?: Json): BatchStream<ToyBatch> => {
      const stream = numbers()(state);
      return { ...stream, next: () => sleep(20).then(() => stream.next()) };
    };
    const evaluation = {
      every: 1,
      run: async (step: number) => ({ score: step }),
      best: { metric: 'score', better: 'higher' },
    } as const;
    const { trainer, notes } = toy(folder(), { steps: 4, data, evaluation });
    await trainer.run();
    expect(slow.mock.calls.length).toBeGreaterThan(4);
    slow.mockRestore();
    for (const { samplesPerSecond } of notes.steps) expect(samplesPerSecond).toBeLessThan(8 / 0.018); // 8 numbers in 20 ms or more
  });

  test.each(['float32', 'bfloat16', 'float16'] as const)(
    'a run that goes on is, bit for bit, the run that was never ended: %s',
    async (precision) => {
      const [whole, directory] = [toy(folder(), { precision }), folder()];
      const { checkpoint } = await whole.trainer.run();
      for (const steps of [5, 9, 12]) {
        const part = toy(directory, { precision, steps, resume: true });
        await part.trainer.run();
        expect(part.notes.messages).toEqual(steps === 5 ? [] : [`going on after step ${steps === 9 ? 5 : 9}`]);
        if (steps === 12) expect(weights(part.model)).toEqual(weights(whole.model));
      }
      for (const file of ['model.safetensors', 'optimizer.safetensors', 'state.json']) {
        const [a, b] = [checkpoint, path.join(directory, 'checkpoints/step-00000012')].map((place) =>
          fs.readFileSync(path.join(place, file)),
        );
        expect(a?.equals(b as Buffer)).toBe(true);
      }
    },
  );

  test('only what is trained is in them, unless all is asked for', async () => {
    const names = async (whole: boolean): Promise<string[]> => {
      const run = toy(folder(), ({ model }) => {
        model.inner.freeze();
        return { steps: 1, optimizer: new AdamW(model.outer.parameters()), checkpoints: { whole } };
      });
      const { checkpoint } = await run.trainer.run();
      return [...loadSafetensors(path.join(checkpoint, 'model.safetensors')).keys()].sort();
    };
    expect(await names(false)).toEqual(['outer.bias', 'outer.weight']);
    expect(await names(true)).toEqual(['inner.bias', 'inner.weight', 'outer.bias', 'outer.weight']);
  });

  test('one of another run is refused, with the reason', async () => {
    const directory = folder();
    const recipe = { rate: 1, model: { width: 8 } };
    const { checkpoint } = await toy(directory, { steps: 2, recipe }).trainer.run();
    const going = (options: object): Promise<unknown> =>
      toy(directory, { steps: 3, resume: true, recipe, ...options }).trainer.run();
    await expect(going({ resume: false })).rejects.toThrow('expected a folder without a run in it, or resume for directory');
    await expect(going({ recipe: { rate: 1, model: { width: 8, depth: { of: 2 } } } })).rejects.toThrow(
      "expected none, as the checkpoint's state.json has none for recipe.model.depth, for recipe.model.depth but received settings",
    );
    await expect(going({ recipe: { rate: 1, model: 'x'.repeat(999) } })).rejects.toThrow(
      `expected settings, as the run began, for recipe.model but received "${'x'.repeat(79)}…`,
    );
    await expect(going({ recipe: { rate: 1, model: { width: 9 } } })).rejects.toThrow(
      'expected 8, as the run began, for recipe.model.width but received 9',
    );
    const file = path.join(checkpoint, 'state.json');
    const state = fs.readFileSync(file, 'utf8');
    for (const [from, to, message] of [
      ['"format": 1', '"format": 9', 'expected 1 for format but received 9'],
      ['"step": 2', '"step": -2', 'expected a whole number from 0 for step but received -2'],
      ['"default.cpu": "', '"default.cpu": "!', 'expected bytes in base 64 for generators.default.cpu'],
      ['"samples"', '"sample"', 'for samples but received null'],
      ['{', '', 'expected JSON'],
    ] as const) {
      fs.writeFileSync(file, state.replace(from, to));
      await expect(going({})).rejects.toThrow(message);
    }
    fs.writeFileSync(file, state);
    fs.copyFileSync(path.join(checkpoint, 'optimizer.safetensors'), path.join(checkpoint, 'model.safetensors'));
    await expect(going({})).rejects.toThrow(StateDictError);
  });

  test('what killed writers left is swept away', async () => {
    const directory = folder();
    const left = path.join(directory, 'checkpoints/.step-00000003.123.abc.tmp');
    fs.mkdirSync(left, { recursive: true });
    await toy(directory, { steps: 1 }).trainer.run();
    expect(saved(directory)).toEqual(['step-00000001']);
  });
});

describe('the end', () => {
  test.each([4, 12])('an evaluation is given up as soon as the run is to end, here after step %i', async (last) => {
    const [directory, abort] = [folder(), new AbortController()];
    const run = async (step: number, signal: AbortSignal): Promise<Record<string, number>> => {
      if (step === last) abort.abort();
      signal.throwIfAborted();
      return { score: step };
    };
    const first = toy(directory, { evaluation: { every: 4, run }, signal: abort.signal });
    expect(await first.trainer.run()).toMatchObject({ reason: 'abort', step: last });
    expect(first.notes.evaluations.map(([step]) => step)).toEqual([4, 8].slice(0, last / 4 - 1));
    expect(saved(directory)).toEqual([`step-${String(last).padStart(8, '0')}`]);
    // The run that goes on makes up for it, and its best is found in the checkpoint.
    const evaluation = {
      every: 4,
      run: async (step: number) => ({ score: -step }),
      best: { metric: 'score', better: 'higher' },
    } as const;
    const second = toy(directory, { resume: true, evaluation });
    expect(await second.trainer.run()).toMatchObject({ reason: 'done', step: 12, best: { step: last, value: -last } });
    expect(second.notes.evaluations.map(([step]) => step)).toEqual(last === 4 ? [4, 8, 12] : [12]);
    expect(readProgress(path.join(directory, 'checkpoints/step-00000012')).best).toEqual({ step: last, value: -last });
    expect(saved(directory)).toContain(`step-${String(last).padStart(8, '0')}`);
    // And what has been evaluated is not evaluated again.
    const third = toy(directory, { resume: true, evaluation });
    await third.trainer.run();
    expect(third.notes.evaluations).toEqual([]);
  });

  test('an evaluation that a run has not come to is made up for only once', async () => {
    const [directory, abort] = [folder(), new AbortController()];
    const data = numbers([8], (_, number) => number === 3 && abort.abort());
    const run = async (step: number, signal?: AbortSignal): Promise<Record<string, number>> => {
      signal?.throwIfAborted();
      return { score: step };
    };
    // Told to end in step 4, behind which an evaluation stands; then again, before that evaluation.
    for (const signal of [abort.signal, abort.signal]) {
      const part = toy(directory, { data, resume: true, evaluation: { every: 4, run }, signal });
      expect(await part.trainer.run()).toMatchObject({ reason: 'abort', step: 4 });
      expect(part.notes.evaluations).toEqual([]);
    }
    const rest = toy(directory, { resume: true, steps: 6, evaluation: { every: 4, run } });
    await rest.trainer.run();
    expect(rest.notes.evaluations.map(([step]) => step)).toEqual([4, 6]);
    const whole = toy(folder(), { steps: 6 });
    await whole.trainer.run();
    expect(weights(rest.model)).toEqual(weights(whole.model));
  });

  test('an abort signal ends the run after its step; it saves, and goes on later', async () => {
    const [directory, abort] = [folder(), new AbortController()];
    const data = numbers([8], (_, number) => number === 4 && abort.abort());
    const { trainer, notes, model } = toy(directory, { data, signal: abort.signal });
    expect(await trainer.run()).toMatchObject({
      reason: 'abort',
      step: 5,
      checkpoint: path.join(directory, 'checkpoints/step-00000005'),
    });
    expect(notes.messages[0]).toBe('abort: stopping after this step');
    expect(notes.messages[1]).toMatch(/^stopped by abort after step 5; saved in .*step-00000005, from where it can go on$/);
    model.dispose();
    const again = toy(directory, { resume: true });
    await again.trainer.run();
    const whole = toy(folder());
    await whole.trainer.run();
    expect(weights(again.model)).toEqual(weights(whole.model));
  });

  test('signals are listened to once there is something to save: until the data is there, they end the process', async () => {
    const listeners: number[] = [];
    const count = (): unknown => listeners.push(process.listenerCount('SIGINT') + process.listenerCount('SIGTERM'));
    count();
    const data = (state?: Json): BatchStream<ToyBatch> => {
      count();
      return numbers([8], count)(state);
    };
    await toy(folder(), { steps: 1, data, signals: true }).trainer.run();
    count();
    const [before = 0] = listeners;
    expect(listeners).toEqual([before, before, before + 2, before]);
  });

  test('data that ends first ends the run', async () => {
    const run = toy(folder(), { data: numbers([8], undefined, 7), accumulation: 2 });
    expect(await run.trainer.run()).toMatchObject({ reason: 'data', step: 3 });
  });

  test('an error of the data ends it, and the logs are closed', async () => {
    const run = toy(folder(), {
      data: numbers([8], (_, number) => {
        if (number === 3) throw new RangeError('no more');
      }),
    });
    await expect(run.trainer.run()).rejects.toThrow('no more');
    expect(run.notes.closed).toBe(1);
  });

  test.each<[object, string]>([
    [{ steps: 0 }, 'expected a positive integer for steps but received 0'],
    [{ accumulation: 1.5 }, 'expected a positive integer for accumulation but received 1.5'],
    [{ checkpoints: { every: -1 } }, 'for checkpoints.every but received -1'],
    [{ clipNorm: 0 }, 'expected a number above 0, or null for clipNorm but received 0'],
  ])('options %j are refused', (options, message) => {
    expect(() => toy(folder(), options)).toThrow(message);
  });
});
