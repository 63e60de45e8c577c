import type { CaptionOptions, EncodedImage, ImageInput } from '../../src/pipeline/index.ts';
import { Chat, type ChatModel, type ChatOptions } from '../../src/tasks/index.ts';

/** Says its lines one after another, in pieces; a token is a word. */
class Speaker implements ChatModel {
  readonly prompts: (string | undefined)[] = [];
  readonly options: (CaptionOptions | undefined)[] = [];
  readonly held: ImageInput[] = [];
  readonly #lines: string[];
  room = 1000;

  constructor(...lines: string[]) {
    this.#lines = lines;
  }

  async encode(image: ImageInput): Promise<EncodedImage> {
    this.held.push(image);
    return { dispose: () => this.held.pop() } as unknown as EncodedImage;
  }

  async *streamCaption(_: ImageInput, options?: CaptionOptions): AsyncGenerator<{ text: string }> {
    this.prompts.push(options?.prompt);
    this.options.push(options);
    for (const text of (this.#lines.shift() ?? '').split(/(?= )/)) {
      await Promise.resolve();
      options?.signal?.throwIfAborted();
      yield { text };
    }
  }

  async countTokens(prompt: string): Promise<number> {
    return prompt.split(' ').length;
  }

  promptRoom(maxNewTokens: number): number {
    return this.room - maxNewTokens;
  }
}

/** All pieces, and what the generator returns. */
async function said(pieces: AsyncGenerator<string, string>): Promise<{ pieces: string[]; answer: string }> {
  const all: string[] = [];
  for (;;) {
    const { done, value } = await pieces.next();
    if (done) return { pieces: all, answer: value };
    all.push(value);
  }
}

test('the prompt is what was said and the new question; the picture is encoded once', async () => {
  const model = new Speaker('a small dog', 'It is happy.', 'no');
  const chat = await Chat.start(model, 'beach.jpg', { doSample: true, seed: 3 });
  expect(await said(chat.ask(' what is it? '))).toEqual({ pieces: ['a', ' small', ' dog'], answer: 'a small dog' });
  await said(chat.ask('why?'));
  await said(chat.ask('is it sad?'));
  expect(model.prompts).toEqual([
    'Question: what is it? Answer:',
    'Question: what is it? Answer: a small dog. Question: why? Answer:',
    'Question: what is it? Answer: a small dog. Question: why? Answer: It is happy. Question: is it sad? Answer:',
  ]);
  expect(model.options[0]).toEqual({ doSample: true, seed: 3, maxNewTokens: 30, prompt: model.prompts[0] });
  expect(chat.turns.map(({ answer }) => answer)).toEqual(['a small dog', 'It is happy.', 'no']);
  expect(model.held).toEqual(['beach.jpg']);
  chat.close();
  expect(model.held).toEqual([]);
});

test('the oldest turns leave the prompt when it is full, and stay in the conversation', async () => {
  const model = new Speaker('one two', 'three', 'four');
  model.room = 17;
  const chat = await Chat.start(model, 'a.jpg', { maxNewTokens: 5, template: 'Q: {} A: {};' });
  for (const question of ['first question', 'second', 'third']) await said(chat.ask(question));
  expect(model.prompts).toEqual([
    'Q: first question A:',
    'Q: first question A: one two; Q: second A:',
    'Q: second A: three; Q: third A:',
  ]);
  expect(chat.turns).toHaveLength(3);
  const long = 'and a question that has many more words than there is room for here';
  await expect(said(chat.ask(long))).rejects.toMatchObject({ name: 'ArgumentError', argument: 'question' });
  expect(chat.turns).toHaveLength(3);
});

test('a conversation can go on from turns that are known', async () => {
  const model = new Speaker('yes');
  using chat = await Chat.start(model, 'a.jpg', { turns: [{ question: 'a?', answer: 'b' }] });
  await said(chat.ask('c?'));
  expect(model.prompts).toEqual(['Question: a? Answer: b. Question: c? Answer:']);
});

test('an answer that was stopped is forgotten, and the next question can be asked', async () => {
  const model = new Speaker('one two three', 'one two three', 'fine');
  const chat = await Chat.start(model, 'a.jpg');
  for await (const _ of chat.ask('left early?')) break;
  const stop = new AbortController();
  const asked = chat.ask('stopped?', { signal: stop.signal });
  await asked.next();
  await expect(chat.ask('at the same time?').next()).rejects.toMatchObject({ code: 'ERR_BUSY' });
  stop.abort(new Error('enough'));
  await expect(said(asked)).rejects.toThrow('enough');
  expect(chat.turns).toEqual([]);
  expect((await said(chat.ask('whole?'))).answer).toBe('fine');
  expect(chat.turns).toEqual([{ question: 'whole?', answer: 'fine' }]);
});

test('what is wrong is named', async () => {
  const model = new Speaker();
  for (const [options, argument] of [
    [null, 'options'],
    [{ template: 'Question: {}' }, 'template'],
    [{ template: 5 }, 'template'],
  ] as [ChatOptions, string][]) {
    await expect(Chat.start(model, 'a.jpg', options)).rejects.toMatchObject({ name: 'ArgumentError', argument });
  }
  const chat = await Chat.start(model, 'a.jpg');
  for (const question of ['', '  ', 5]) {
    await expect(chat.ask(question as string).next()).rejects.toMatchObject({ name: 'ArgumentError', argument: 'question' });
  }
});
