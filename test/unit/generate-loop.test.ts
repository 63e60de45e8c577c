import { setImmediate as nextTurn } from 'node:timers/promises';
import { type GenerateOptions, generate, keep, memory, scope, streamTokens, type Tensor, tensor } from '../../src/index.ts';
import { Table, type TableModel } from '../support/table-model.ts';

const table = new Table({ vocabulary: 12, positions: 64, seed: 3, scale: 8, bonus: 1, ends: [7] });
const rows = [
  [1, 2, 3],
  [4, 5, 6],
];
const inputIds = tensor(rows, { dtype: 'int64' });
const kinds: readonly [string, GenerateOptions][] = [
  ['greedy', {}],
  ['sampling', { doSample: true, seed: 1, numReturnSequences: 3 }],
  ['beams', { numBeams: 4, repetitionPenalty: 1.2, noRepeatNgramSize: 2 }],
  ['beam sampling', { numBeams: 4, doSample: true, seed: 1 }],
];

/** The tensors that stay alive beyond what `body` returns. */
async function liveAfter(body: () => Promise<void>): Promise<number> {
  const before = await settled();
  await body();
  return memory().tensors - before;
}

/** Live tensors once the garbage collector has freed what earlier tests left behind. */
async function settled(): Promise<number> {
  for (let rounds = 0, last = -1; rounds < 3; ) {
    gc?.();
    await nextTurn();
    const { tensors } = memory();
    rounds = tensors === last ? rounds + 1 : 0;
    last = tensors;
  }
  return memory().tensors;
}

test.each(kinds)('%s frees everything but its result', async (_kind, options) => {
  const live = await liveAfter(async () => {
    const { sequences, sequencesScores } = await generate(table.decode(rows), { inputIds }, options);
    sequences.dispose();
    sequencesScores?.dispose();
  });
  expect(live).toBe(0);
});

test.each(kinds)(
  '%s stops at the next step of an aborted signal, with its reason, and frees everything',
  async (_kind, options) => {
    const live = await liveAfter(async () => {
      const controller = new AbortController();
      const model = table.decode(rows);
      let last = -1;
      model.onStep = (step) => {
        last = step;
        // A timer, not a call: it fires only because the event loop gets its turn between steps.
        if (step === 3) setImmediate(() => controller.abort(new RangeError('enough')));
      };
      const decoding = generate(model, { inputIds }, { ...options, maxNewTokens: 50, signal: controller.signal });
      await expect(decoding).rejects.toThrow(new RangeError('enough'));
      expect(last).toBeGreaterThanOrEqual(3);
      expect(last).toBeLessThanOrEqual(5);
      expect(model.disposed).toBe(true);
    });
    expect(live).toBe(0);
  },
);

test.each(kinds)('%s frees everything when a step of the model fails', async (_kind, options) => {
  const live = await liveAfter(async () => {
    const model = table.decode(rows);
    model.onStep = (step) => {
      if (step === 2) throw new RangeError('broken');
    };
    await expect(generate(model, { inputIds }, { ...options, maxNewTokens: 50 })).rejects.toThrow('broken');
    expect(model.disposed).toBe(true);
  });
  expect(live).toBe(0);
});

test('a signal that is aborted already keeps the model from running', async () => {
  const model = table.decode(rows);
  model.prefill = () => {
    throw new RangeError('ran');
  };
  await expect(generate(model, { inputIds }, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' });
});

test('the event loop gets a turn every step', async () => {
  let turns = 0;
  let going = true;
  const count = (): void => {
    turns++;
    if (going) setImmediate(count);
  };
  setImmediate(count);
  (await generate(table.decode(rows), { inputIds }, { maxNewTokens: 40 })).sequences.dispose();
  going = false;
  expect(turns).toBeGreaterThanOrEqual(39);
});

test.each(kinds.slice(0, 2))(
  'a stream of %s yields every new token once and returns what generate gives',
  async (_kind, options) => {
    const all = { ...options, eosTokenId: [7], maxNewTokens: 25, padTokenId: 0 };
    const whole = await generate(table.decode(rows), { inputIds }, all);
    const streamed: number[][] = (whole.sequences.toArray() as number[][]).map((row) => row.slice(0, 3));
    const stream = streamTokens(table.decode(rows), { inputIds }, all);
    let next = await stream.next();
    for (; !next.done; next = await stream.next()) for (const { row, token } of next.value) streamed[row]?.push(token);
    const expected = (whole.sequences.toArray() as number[][]).map((row) => {
      const end = row.indexOf(7, 3);
      return end === -1 ? row : row.slice(0, end + 1);
    });
    expect(streamed).toEqual(expected);
    expect(new Set(expected.map((row) => row.length)).size).toBeGreaterThan(1);
    expect(next.value.sequences.toArray()).toEqual(whole.sequences.toArray());
  },
);

test('leaving a stream frees everything', async () => {
  const model = table.decode(rows);
  const live = await liveAfter(async () => {
    for await (const tokens of streamTokens(model, { inputIds }, { doSample: true, repetitionPenalty: 2 })) {
      if (tokens.length > 0) break;
    }
  });
  expect(model.disposed).toBe(true);
  expect(live).toBe(0);
});

test('decodes take turns without disturbing each other', async () => {
  const decode = async (options: GenerateOptions): Promise<unknown> => {
    const { sequences } = await generate(table.decode(rows), { inputIds }, { ...options, eosTokenId: 7 });
    return sequences.toArray();
  };
  const alone: unknown[] = [];
  for (const [, options] of kinds) alone.push(await decode(options));
  expect(await Promise.all(kinds.map(([, options]) => decode(options)))).toEqual(alone);
});

test('the result may be changed and kept like any tensor', async () => {
  const { sequences, sequencesScores } = await generate(table.decode(rows), { inputIds }, { numBeams: 2 });
  expect((sequences.add_(1).toArray() as number[][])[0]?.slice(0, 3)).toEqual([2, 3, 4]);
  expect(sequencesScores?.mul_(0).toArray()).toEqual([-0, -0]);
});

test('beams without an end token run to the maximum; those that all end at once stop early', async () => {
  const endless = await generate(table.decode(rows), { inputIds }, { numBeams: 3, maxNewTokens: 9 });
  expect(endless.sequences.shape).toEqual([2, 12]);
  const certain = new Table({ vocabulary: 12, positions: 64, seed: 3, scale: 1, bonus: 1000, ends: [7] });
  const model: TableModel = certain.decode(rows);
  let steps = 0;
  model.onStep = () => steps++;
  const { sequences } = await generate(
    model,
    { inputIds },
    { numBeams: 3, eosTokenId: 7, maxNewTokens: 40, earlyStopping: true },
  );
  expect((sequences.toArray() as number[][]).map((row) => row.slice(3))).toEqual([[7], [7]]);
  expect(steps).toBeLessThan(5);
});

test('an empty prompt and a single token work', async () => {
  const none = scope(() => keep(tensor([[1], [2]], { dtype: 'int64' }).narrow(1, 0, 0)) as Tensor);
  for (const [, options] of kinds) {
    const { sequences } = await generate(table.decode([[1], [2]]), { inputIds: none }, { ...options, maxNewTokens: 1 });
    expect(sequences.shape).toEqual([2 * (options.numReturnSequences ?? 1), 1]);
  }
});
