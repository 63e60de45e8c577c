import { draw, GumbelNoise, streamSeed, uniforms } from '../../src/generate/random.ts';
import { type GenerateOptions, generate, scope, setThreads, type Tensor, tensor, threads } from '../../src/index.ts';
import { ConstantModel, Table } from '../support/table-model.ts';

const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

/** Pearson's statistic; with the seeds fixed, a draw that follows the distribution stays below the 99.9 % quantile or does not, once and for all. */
function chiSquare(counts: readonly number[], probabilities: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.reduce((sum, count, i) => {
    const expected = total * (probabilities[i] as number);
    return expected === 0 ? sum + (count === 0 ? 0 : Number.POSITIVE_INFINITY) : sum + (count - expected) ** 2 / expected;
  }, 0);
}

const counted = (values: readonly number[], kinds: number): number[] => {
  const counts = new Array<number>(kinds).fill(0);
  for (const value of values) counts[value] = (counts[value] as number) + 1;
  return counts;
};

const softmax = (logits: readonly number[]): number[] => {
  const exponentials = logits.map(Math.exp);
  const total = exponentials.reduce((sum, value) => sum + value, 0);
  return exponentials.map((value) => value / total);
};

const logits = [0, 1, -1, 2, 0.5, -3, 1.5, 0.2];
const V = logits.length;
const rowIds = (count: number): Tensor =>
  tensor(
    Array.from({ length: count }, () => [0]),
    { dtype: 'int64' },
  );

async function samples(count: number, options: GenerateOptions): Promise<number[]> {
  const seed = Array.from({ length: count }, (_, row) => row);
  const model = new ConstantModel(count, logits);
  const { sequences } = await generate(model, { inputIds: rowIds(count) }, { doSample: true, maxNewTokens: 2, seed, ...options });
  return (sequences.toArray() as number[][]).flatMap((row) => row.slice(1));
}

test('sampled tokens follow the distribution', async () => {
  // 7 degrees of freedom: 24.3 is exceeded once in a thousand.
  expect(chiSquare(counted(await samples(4000, {}), V), softmax(logits))).toBeLessThan(24.3);
  const cold = softmax(logits.map((logit) => logit / 0.6));
  expect(chiSquare(counted(await samples(4000, { temperature: 0.6 }), V), cold)).toBeLessThan(24.3);
});

test('top-k and top-p leave the rest in proportion', async () => {
  const three = softmax(logits.map((logit) => (logit >= 1 ? logit : Number.NEGATIVE_INFINITY)));
  expect(chiSquare(counted(await samples(3000, { topK: 3 }), V), three)).toBeLessThan(13.9); // 2 degrees of freedom
  const likeliest = softmax(logits)[3] as number;
  expect(new Set(await samples(300, { topP: likeliest - 0.01 }))).toEqual(new Set([3]));
  expect(new Set(await samples(300, { topP: likeliest + 0.01 }))).toEqual(new Set([3, 6]));
});

test('logits that are no numbers are refused, not drawn from', async () => {
  const model = new ConstantModel(1, [0, Number.NaN, 0]);
  const drawn = generate(model, { inputIds: rowIds(1) }, { doSample: true, maxNewTokens: 1 });
  await expect(drawn).rejects.toThrow('expected numbers for logits but received NaN in row 0');
});

test('samples of one row are independent of each other and of how many are asked for', async () => {
  const options: GenerateOptions = { numReturnSequences: 2000, maxNewTokens: 1 };
  const many = await samples(1, options);
  expect(chiSquare(counted(many, V), softmax(logits))).toBeLessThan(24.3);
  expect(await samples(1, { ...options, numReturnSequences: 5 })).toEqual(many.slice(0, 5));
});

test('neighbouring seeds and steps are independent', () => {
  const pairs = scope(() =>
    uniforms(
      Array.from({ length: 8000 }, (_, i) => i),
      1,
      2,
      'cpu',
    )
      .mul(4)
      .floor()
      .view(2, -1)
      .toArray(),
  ) as number[][];
  const [first, second] = pairs as [number[], number[]];
  const kinds = first.map((value, i) => value * 4 + (second[i] as number));
  const neighbours = first.slice(1).map((value, i) => value * 4 + (first[i] as number));
  const flat = new Array<number>(16).fill(1 / 16);
  expect(chiSquare(counted(kinds, 16), flat)).toBeLessThan(37.7); // 15 degrees of freedom
  expect(chiSquare(counted(neighbours, 16), flat)).toBeLessThan(37.7);
});

test('seeds beyond 32 bits, and the streams of one seed, start apart', () => {
  const starts = [0, 1, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1].flatMap((seed) => [0, 1, 2].map((number) => streamSeed(seed, number)));
  expect(new Set(starts).size).toBe(starts.length);
});

test('the inverse of the distribution function reaches every token and none without probability', () => {
  scope(() => {
    const scores = tensor([[Number.NEGATIVE_INFINITY, 0, Number.NEGATIVE_INFINITY, 0, Number.NEGATIVE_INFINITY]]);
    const at = (uniform: number): number => draw(scores, tensor([[uniform]], { dtype: 'float64' })).item();
    expect([0, 0.499_999, 0.5, 1 - 2 ** -53].map(at)).toEqual([1, 1, 3, 3]);
  });
});

test('draws without replacement follow the distribution in turn', () => {
  const p = softmax(logits.slice(0, 4));
  const noise = new GumbelNoise(
    Array.from({ length: 6000 }, (_, i) => i),
    4,
    'cpu',
  );
  const picked = scope(() => tensor(logits.slice(0, 4)).unsqueeze(0).add(noise.next()).topk(2).indices.toArray()) as number[][];
  noise.dispose();
  const expected = Array.from({ length: 16 }, (_, pair) => {
    const [a, b] = [Math.floor(pair / 4), pair % 4];
    return a === b ? 0 : ((p[a] as number) * (p[b] as number)) / (1 - (p[a] as number));
  });
  const counts = counted(
    picked.map(([a, b]) => (a as number) * 4 + (b as number)),
    16,
  );
  expect(chiSquare(counts, expected)).toBeLessThan(31.3); // 11 degrees of freedom
});

test('noise is the same whatever else is in the batch, block after block', () => {
  const size = 5000; // three steps a block
  const [one, three] = [new GumbelNoise([9], size, 'cpu'), new GumbelNoise([4, 9, 5], size, 'cpu')];
  scope(() => {
    const blocks: number[] = [];
    for (let step = 0; step < 8; step++) {
      const [alone, among] = [one.next(), three.next().narrow(0, 1, 1)];
      expect(alone.equal(among)).toBe(true);
      blocks.push(alone.sum().item());
    }
    expect(new Set(blocks).size).toBe(8);
  });
  one.dispose();
  three.dispose();
});

describe('a row’s ids do not depend on its batch', () => {
  const table = new Table({ vocabulary: 12, positions: 64, seed: 3, scale: 4, bonus: 1, ends: [7] });
  const prompts = [
    [1, 2, 3],
    [4, 5, 6],
    [1, 2, 3],
    [8, 9, 10],
  ];
  const seeds = [5, 6, 7, 5];
  const kinds: readonly [string, GenerateOptions][] = [
    ['sampling', { doSample: true, numReturnSequences: 2, topP: 0.9, repetitionPenalty: 1.2 }],
    ['beam sampling', { doSample: true, numBeams: 3, numReturnSequences: 2 }],
  ];

  async function decoded(rows: number[][], options: GenerateOptions): Promise<number[][]> {
    const { sequences } = await generate(
      table.decode(rows),
      { inputIds: tensor(rows, { dtype: 'int64' }) },
      { eosTokenId: 7, padTokenId: 7, ...options },
    );
    return (sequences.toArray() as number[][]).map((row) => {
      const end = row.indexOf(7, 3);
      return end === -1 ? row : row.slice(0, end + 1);
    });
  }

  test.each(kinds)('%s', async (_kind, options) => {
    const together = await decoded(prompts, { ...options, seed: seeds });
    for (const [row, prompt] of prompts.entries()) {
      const alone = await decoded([prompt], { ...options, seed: seeds[row] as number });
      expect(together.slice(2 * row, 2 * row + 2)).toEqual(alone);
    }
    const shared = await decoded(prompts, { ...options, seed: 5 });
    expect(shared.slice(0, 2)).toEqual(shared.slice(4, 6)); // equal prompts, equal seeds
    expect(shared.slice(0, 2)).toEqual(together.slice(0, 2));
    expect(together.slice(0, 2)).not.toEqual(together.slice(4, 6)); // equal prompts, other seeds
  });

  test.each(kinds)('%s without a seed differs from row to row and from call to call', async (_kind, options) => {
    const same = Array.from({ length: 4 }, () => [1, 2, 3]);
    const all = [...(await decoded(same, options)), ...(await decoded(same, options))].map(String);
    expect(new Set(all).size).toBeGreaterThan(8);
  });
});
