import { resolveOptions } from '../../src/generate/options.ts';
import { ArgumentError, type GenerateOptions, generate, streamTokens, tensor } from '../../src/index.ts';
import { Table } from '../support/table-model.ts';

const prompt = { batch: 2, length: 3, room: 30 };
const resolve = (options: object) => resolveOptions(options as GenerateOptions, prompt);

test('defaults are those of Hugging Face', () => {
  expect(resolve({})).toEqual({
    promptLength: 3,
    maxLength: 23,
    minLength: 0,
    doSample: false,
    temperature: 1,
    topK: 50,
    topP: 1,
    seeds: null,
    numBeams: 1,
    numReturnSequences: 1,
    lengthPenalty: 1,
    earlyStopping: false,
    repetitionPenalty: 1,
    noRepeatNgramSize: 0,
    eosTokenIds: [],
    padTokenId: null,
    signal: null,
  });
  expect(resolveOptions({}, { ...prompt, room: 4 }).maxLength).toBe(7);
});

test('what counts new tokens goes before what counts all', () => {
  expect(resolve({ maxLength: 5, maxNewTokens: 7 }).maxLength).toBe(10);
  expect(resolve({ maxLength: 5 }).maxLength).toBe(5);
  expect(resolve({ minLength: 9, minNewTokens: 2 }).minLength).toBe(5);
  expect(resolve({ minLength: 9 }).minLength).toBe(9);
  expect(resolve({ minLength: 9, minNewTokens: 0 }).minLength).toBe(3);
});

test('one seed is every row’s, several are one a row', () => {
  expect(resolve({ seed: 5 }).seeds).toEqual([5, 5]);
  expect(resolve({ seed: [5, 6] }).seeds).toEqual([5, 6]);
});

const wrong: readonly [string, object][] = [
  ['maxLength', { maxLength: 3 }],
  ['maxLength', { maxLength: 34 }],
  ['maxLength', { maxLength: 4.5 }],
  ['maxNewTokens', { maxNewTokens: 0 }],
  ['maxNewTokens', { maxNewTokens: 31 }],
  ['maxNewTokens', { maxNewTokens: '5' }],
  ['minLength', { minLength: -1 }],
  ['minLength', { minLength: 24 }],
  ['minNewTokens', { minNewTokens: 6, maxNewTokens: 5 }],
  ['doSample', { doSample: 1 }],
  ['temperature', { temperature: 0 }],
  ['temperature', { temperature: Number.POSITIVE_INFINITY }],
  ['temperature', { temperature: 1e-300 }],
  ['temperature', { temperature: 1e300 }],
  ['topK', { topK: -1 }],
  ['topP', { topP: 1.1 }],
  ['topP', { topP: Number.NaN }],
  ['seed', { seed: -1 }],
  ['seed', { seed: [1] }],
  ['seed', { seed: [1, 0.5] }],
  ['numBeams', { numBeams: 0 }],
  ['numReturnSequences', { numReturnSequences: 0, numBeams: 2 }],
  ['numReturnSequences', { numReturnSequences: 2 }],
  ['numReturnSequences', { numReturnSequences: 3, numBeams: 2 }],
  ['numReturnSequences', { numReturnSequences: 3, numBeams: 2, doSample: true }],
  ['lengthPenalty', { lengthPenalty: Number.NaN }],
  ['lengthPenalty', { lengthPenalty: '1' }],
  ['earlyStopping', { earlyStopping: 'always' }],
  ['repetitionPenalty', { repetitionPenalty: 0 }],
  ['repetitionPenalty', { repetitionPenalty: -2 }],
  ['repetitionPenalty', { repetitionPenalty: 1e-300 }],
  ['noRepeatNgramSize', { noRepeatNgramSize: 1.5 }],
  ['eosTokenId', { eosTokenId: -1 }],
  ['eosTokenId', { eosTokenId: [] }],
  ['eosTokenId', { eosTokenId: [1, 'x'] }],
  ['padTokenId', { padTokenId: 0.5 }],
  ['bosTokenId', { bosTokenId: -3 }],
  ['signal', { signal: {} }],
  ['num_beams', { num_beams: 3 }],
];

test.each(wrong)('a wrong %s is named: %j', (argument, options) => {
  expect(() => resolve(options)).toThrow(ArgumentError);
  expect(() => resolve(options)).toThrow(expect.objectContaining({ argument }));
});

test('what cannot be seen in the options alone is named too, and the model is freed all the same', async () => {
  const table = new Table({ vocabulary: 3, positions: 40, seed: 0, scale: 1, bonus: 0, ends: [] });
  const ids = tensor([[1, 2]], { dtype: 'int64' });
  const cases: [string, object, object][] = [
    ['inputIds', {}, { inputIds: tensor([[1, 2]]) }],
    ['inputIds', {}, { inputIds: tensor([1, 2], { dtype: 'int64' }) }],
    ['inputIds', {}, { inputIds: tensor([[1], [2]], { dtype: 'int64' }) }],
    ['inputIds', { repetitionPenalty: 2 }, { inputIds: tensor([[1, 3]], { dtype: 'int64' }) }],
    ['inputIds', { noRepeatNgramSize: 2, numBeams: 2 }, { inputIds: tensor([[-1, 2]], { dtype: 'int64' }) }],
    ['eosTokenId', { numBeams: 2, eosTokenId: [0, 1, 2] }, { inputIds: ids }],
    ['maxNewTokens', { maxNewTokens: 0 }, { inputIds: ids }],
  ];
  for (const [argument, options, given] of cases) {
    const model = table.decode([[1, 2]]);
    await expect(generate(model, given as { inputIds: typeof ids }, options)).rejects.toMatchObject({
      name: 'ArgumentError',
      argument,
    });
    expect(model.disposed).toBe(true);
  }
  const full = table.decode([[1, 2]]);
  full.room = 0;
  await expect(generate(full, { inputIds: ids })).rejects.toMatchObject({ argument: 'inputIds' });
  await expect(streamTokens(table.decode([[1, 2]]), { inputIds: ids }, { numBeams: 2 }).next()).rejects.toMatchObject({
    argument: 'numBeams',
  });
});
