import fs from 'node:fs';
import { ArgumentError, answerTemplates, Blip2, Blip2ForConditionalGeneration, Blip2Processor } from '../../src/index.ts';
import { LocalModel } from '../../src/pipeline/calls.ts';
import { generativeService } from '../../src/pipeline/generative-service.ts';
import { memory, setThreads } from '../../src/tensor/index.ts';
import { generativeCheckpoint, photos } from '../support/checkpoints.ts';

const [chelsea, coffee] = photos as [string, string];
const QUESTIONS = ['what is it?', 'what colour is the thing in the middle of the picture?'] as const;
const ANSWERS = ['cat', 'a cup of coffee', 'no', 'yes'];
const expectClose = (value: number | undefined, expected: number): void =>
  expect(Math.abs((value as number) - expected)).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(expected)));
const SHORT = { numBeams: 2, maxNewTokens: 4 };

describe.each(['opt', 't5'] as const)('with %s', (kind) => {
  let folder: string;
  let blip2: Blip2;
  beforeAll(async () => {
    folder = generativeCheckpoint({ languageModel: kind });
    blip2 = await Blip2.fromPretrained(folder, { threads: 1 });
  });
  afterAll(async () => {
    await blip2.close();
    fs.rmSync(folder, { recursive: true });
  });

  test('answers are what the model writes for the paper’s prompt, whatever the batch', async () => {
    expect(blip2.languageModel).toBe(kind);
    const processor = Blip2Processor.fromPretrained(folder);
    const model = Blip2ForConditionalGeneration.fromPretrained(folder);
    const expected: string[] = [];
    for (const question of QUESTIONS) {
      const text = answerTemplates[kind].replace('{}', question);
      const { pixelValues, inputIds, attentionMask } = await processor.preprocess({ images: coffee, text });
      const options = { ...SHORT, lengthPenalty: -1, minNewTokens: 1 };
      const { sequences } = await model.generate({ pixelValues, inputIds, attentionMask }, options);
      const [row] = sequences.toArray() as [number[]];
      const start = kind === 'opt' ? (inputIds?.size(1) as number) : 1;
      expected.push(processor.tokenizer.decode(row.slice(start), { skipSpecialTokens: true }).trim());
    }
    model.dispose();
    expect(new Set(expected).size).toBe(2);
    expect(await blip2.answer([coffee, coffee], QUESTIONS, SHORT)).toEqual(expected);
    expect(await blip2.answer(coffee, QUESTIONS[1], SHORT)).toBe(expected[1]);
  });

  test('given answers come with what a pass over each gives, the likeliest first', async () => {
    const ranking = await blip2.rank(coffee, QUESTIONS[0], ANSWERS);
    expect(ranking.map(({ answer }) => answer).sort()).toEqual([...ANSWERS].sort());
    expect(ranking.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 12);
    const values = ranking.map(({ logLikelihood }) => logLikelihood);
    expect(values).toEqual([...values].sort((a, b) => b - a));
    expect(Math.log((ranking[0]?.probability as number) / (ranking[1]?.probability as number))).toBeCloseTo(
      (values[0] as number) - (values[1] as number),
      6,
    );

    const processor = Blip2Processor.fromPretrained(folder);
    const model = Blip2ForConditionalGeneration.fromPretrained(folder);
    const text = answerTemplates[kind].replace('{}', QUESTIONS[0]);
    const { eosTokenId } = model.config.textConfig;
    for (const { answer, logLikelihood } of ranking) {
      const { pixelValues, inputIds, attentionMask } = await processor.preprocess({ images: coffee, text });
      if (pixelValues === undefined || inputIds === undefined || attentionMask === undefined) throw new Error('no inputs');
      const words = kind === 'opt' ? ` ${answer}` : answer;
      const target = [
        ...(processor.tokenizer.encode(words, { addSpecialTokens: false }).inputIds[0] as number[]),
        eosTokenId as number,
      ];
      const [direct] = await model.score({ pixelValues, inputIds, attentionMask }, [[target]]);
      expectClose(direct?.[0], logLikelihood);
    }
    model.dispose();
  });

  test('pictures in a batch, each with its own answers, are ranked as alone', async () => {
    const lists = [
      ['cat', 'dog'],
      ['cup', 'a big cup of tea', 'plate'],
    ];
    const together = await blip2.rank([chelsea, coffee], QUESTIONS, lists);
    for (const [i, image] of [chelsea, coffee].entries()) {
      const alone = await blip2.rank(image, QUESTIONS[i] as string, lists[i] as string[]);
      expect(together[i]?.map(({ answer }) => answer)).toEqual(alone.map(({ answer }) => answer));
      for (const [j, { logLikelihood }] of alone.entries()) {
        expectClose(together[i]?.[j]?.logLikelihood, logLikelihood);
      }
    }
  });

  test('answers that only unknown words tell apart are refused, as they would be equally likely', async () => {
    const answers = ['cat', '\u732b', 'a \u732b', '\u72ac ']; // T5 knows neither sign, OPT's bytes make up any
    const ranking = blip2.rank(coffee, QUESTIONS[0], answers);
    if (kind === 'opt') expect(new Set((await ranking).map(({ probability }) => probability)).size).toBe(4);
    else {
      await expect(ranking).rejects.toMatchObject({
        name: 'ArgumentError',
        argument: 'answers',
        received: '"\u732b" and "\u72ac"',
      });
    }
    expect(await blip2.rank(coffee, QUESTIONS[0], ['cat', '\u732b', '\u732b'])).toHaveLength(3);
  });

  test('an encoded picture stands for the picture until it is disposed of', async () => {
    const [cat, cup] = await blip2.encode([chelsea, coffee]);
    if (cat === undefined || cup === undefined) throw new Error('two pictures give two');
    const expected = await blip2.answer([coffee, chelsea, coffee], 'what is it?', SHORT);
    expect(await blip2.answer([cup, chelsea, cup], 'what is it?', SHORT)).toEqual(expected);
    expect(await blip2.answer(cup, 'what is it?', SHORT)).toBe(expected[0]);
    expect(await blip2.rank(cup, 'what is it?', ANSWERS)).toEqual(await blip2.rank(coffee, 'what is it?', ANSWERS));
    const last = blip2.caption(cat, SHORT); // asked before it goes
    cat.dispose();
    cat.dispose();
    expect(await last).toBe(await blip2.caption(chelsea, SHORT));
    await expect(blip2.caption(cat)).rejects.toThrow('disposed of');
    cup.dispose();
  });

  test('tokens of prompts are counted, and the room that they have is known', async () => {
    const processor = Blip2Processor.fromPretrained(folder);
    expect(await blip2.countTokens('what is it?')).toBe(processor.encode('what is it?', true).inputIds[0]?.length);
    expect(blip2.promptRoom(28)).toBe(kind === 'opt' ? 100 : 512 + 4);
  });
});

test('what ranking and encoding are given wrongly is named', async () => {
  const folder = generativeCheckpoint();
  await using blip2 = await Blip2.fromPretrained(folder, { threads: 1 });
  await using other = await Blip2.fromPretrained(folder, { threads: 1 });
  const cases: [() => Promise<unknown>, string][] = [
    [() => blip2.rank(chelsea, 'q', []), 'answers'],
    [() => blip2.rank(chelsea, 'q', ['a', ' ']), 'answers'],
    [() => blip2.rank(chelsea, 'q', 'yes' as unknown as string[]), 'answers'],
    [() => blip2.rank([chelsea, coffee], 'q', [['a']]), 'answers'],
    [() => blip2.rank(chelsea, 'q', ['a'], { template: 'none' }), 'template'],
    [() => blip2.rank(chelsea, 'q', ['a'], { numBeams: 2 } as object), 'numBeams'],
    [() => blip2.rank([chelsea, coffee], ['q'], ['a']), 'questions'],
    [() => blip2.rank(chelsea, ' ', ['a']), 'questions'],
    [() => blip2.encode(chelsea, { beams: 2 } as object), 'beams'],
    [() => blip2.encode([]), 'images'],
    [() => blip2.countTokens(5 as unknown as string), 'prompt'],
    [async () => other.caption(await blip2.encode(chelsea)), 'images'],
  ];
  for (const [call, argument] of cases) {
    const error = await call().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ArgumentError);
    expect(error).toMatchObject({ argument });
  }
  const stop = AbortSignal.abort(new Error('enough'));
  await expect(blip2.rank(chelsea, 'q', ['a'], { signal: stop })).rejects.toThrow('enough');
  await expect(blip2.encode(`${folder}/missing.png`)).rejects.toThrow('missing.png');
  fs.rmSync(folder, { recursive: true });
});

test('whatever is asked, and however it ends, the model keeps no tensors', async () => {
  setThreads(1);
  const directory = generativeCheckpoint();
  const before = memory().tensors;
  const service = generativeService({ kind: 'generative', directory, device: undefined, dtype: undefined, threads: 1 });
  const loaded = memory().tensors;
  const ask = (method: string, input: object | number, signal = new AbortController().signal): Promise<unknown> =>
    (service.calls[method] as (input: unknown, context: object) => Promise<unknown>)(input, { signal, emit: () => {} });
  const images = [chelsea, coffee, chelsea];
  const request = {
    images,
    names: [],
    prompts: ['a', 'a photo', 'of'],
    ids: [5, 6, 7],
    batchSize: 2,
    options: { maxNewTokens: 3 },
  };
  await ask('write', request);
  await ask('stream', request);
  await ask('rank', { ...request, answers: images.map(() => ANSWERS) });
  const aborted = AbortSignal.abort(new Error('enough'));
  for (const method of ['write', 'stream', 'encode']) await expect(ask(method, request, aborted)).rejects.toThrow('enough');
  for (const id of request.ids) await ask('release', id); // of a batch that was encoded before, and of some that are not held
  await expect(ask('write', { ...request, images: [chelsea, 'missing.png', coffee] })).rejects.toThrow('missing.png');
  expect(memory().tensors).toBe(loaded);
  await ask('encode', request);
  expect(memory().tensors).toBe(loaded + 3);
  await ask('release', 5);
  expect(memory().tensors).toBe(loaded + 2);
  for (const id of [6, 7]) await ask('release', id);
  const blip2 = Blip2.over(new LocalModel(service));
  await expect(blip2.encode([chelsea, coffee, 'missing.png'], { batchSize: 1 })).rejects.toThrow('missing.png');
  await blip2.countTokens('a'); // what was held of them goes before
  expect(memory().tensors).toBe(loaded);
  service.dispose();
  expect(memory().tensors).toBe(before);
  fs.rmSync(directory, { recursive: true });
});
