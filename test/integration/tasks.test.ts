import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Blip2, Chat, evaluateCaptions, evaluateVqa, openQuestions } from '../../src/index.ts';
import { generativeCheckpoint, photos } from '../support/checkpoints.ts';

const [chelsea, coffee] = photos as [string, string];
const root = path.join(import.meta.dirname, '../..');
let folder: string;

/** A folder in which the examples of docs/tasks.md find what they name. */
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tasks-'));
  // A folder of the name goes before the Hub.
  fs.mkdirSync(path.join(folder, 'Salesforce'));
  fs.renameSync(generativeCheckpoint(), path.join(folder, 'Salesforce/blip2-opt-2.7b'));
  for (const name of ['coco', 'val2014']) fs.mkdirSync(path.join(folder, name));
  fs.copyFileSync(chelsea, path.join(folder, 'beach.jpg'));
  fs.copyFileSync(coffee, path.join(folder, 'city.jpg'));
  fs.copyFileSync(chelsea, path.join(folder, 'coco/a.png'));
  fs.copyFileSync(coffee, path.join(folder, 'coco/b.png'));
  fs.copyFileSync(coffee, path.join(folder, 'val2014/COCO_val2014_000000000042.jpg'));
  const write = (name: string, content: object): void => fs.writeFileSync(path.join(folder, name), JSON.stringify(content));
  const image = (filename: string, cocoid: number, raw: string) => ({ filename, cocoid, split: 'test', sentences: [{ raw }] });
  write('dataset_coco.json', { images: [image('a.png', 1, 'a cat'), image('b.png', 2, 'a cup of coffee')] });
  const ids = [4200, 4201, 4202];
  write('v2_OpenEnded_mscoco_val2014_questions.json', {
    data_subtype: 'val2014',
    questions: ids.map((question_id) => ({ question_id, image_id: 42, question: `What is number ${question_id}?` })),
  });
  write('v2_mscoco_val2014_annotations.json', {
    annotations: ids.map((question_id) => ({
      question_id,
      question_type: 'what is',
      answer_type: 'other',
      answers: Array.from({ length: 10 }, (_, i) => ({ answer: 'coffee', answer_id: i + 1 })),
    })),
  });
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

const read = (name: string): unknown => JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8'));

test('the examples of docs/tasks.md run as they stand', () => {
  const text = fs.readFileSync(path.join(root, 'docs/tasks.md'), 'utf8');
  const blocks = [...text.matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, code]) => code as string);
  expect(blocks).toHaveLength(4);
  const outputs = blocks.map((block) => {
    const code = block.replaceAll("from 'blip2'", `from '${pathToFileURL(path.join(root, 'dist/index.js'))}'`);
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return stdout;
  });
  const shares = [...(outputs[0] as string).matchAll(/^(?:day|night) (0\.\d\d|1\.00)$/gm)].map(([, share]) => Number(share));
  expect(shares).toHaveLength(2);
  expect(shares.reduce((sum, share) => sum + share)).toBeCloseTo(1, 1);
  expect(outputs[2]).toContain('2 of 2');
  expect(outputs[2]).toContain('ciderD');
  expect(read('results.json')).toMatchObject([
    { image_id: 1, caption: expect.any(String) as string },
    { image_id: 2, caption: expect.any(String) as string },
  ]);
  expect(outputs[3]).toContain('byAnswerType: { other: ');
  expect(read('answers.json')).toMatchObject([{ question_id: 4200 }, { question_id: 4201 }, { question_id: 4202 }]);
});

describe('with a model', () => {
  let blip2: Blip2;
  beforeAll(async () => {
    blip2 = await Blip2.fromPretrained(path.join(folder, 'Salesforce/blip2-opt-2.7b'), { threads: 1 });
  });
  afterAll(() => blip2.close());

  test('tasks say what the model says when asked directly', async () => {
    const options = { numBeams: 2, minNewTokens: 0, maxNewTokens: 5 };
    const targets = [chelsea, coffee].map((image) => ({ image, imageId: image }));
    const { results } = await evaluateCaptions(blip2, targets, { ...options, batchSize: 1 });
    const captions = await blip2.caption([chelsea, coffee], { ...options, prompt: 'a photo of' });
    expect(results.map(({ caption }) => caption)).toEqual(captions);

    const set = openQuestions(path.join(folder, 'v2_OpenEnded_mscoco_val2014_questions.json'), {
      images: path.join(folder, 'val2014'),
    });
    const { answers } = await evaluateVqa(blip2, set, { ...options, batchSize: 2 });
    const asked = set.questions.map(({ question }) => question.toLowerCase());
    expect(answers.map(({ answer }) => answer)).toEqual(await blip2.answer([coffee, coffee, coffee], asked, options));
    const ranked = await evaluateVqa(blip2, set, { answers: ['coffee', 'tea'] });
    const [best] = await blip2.rank(coffee, asked[0] as string, ['coffee', 'tea']);
    expect(ranked.answers[0]?.answer).toBe(best?.answer);
    expect(ranked.answers[0]?.probability).toBeCloseTo(best?.probability as number, 4);
  });

  test('a conversation goes on from what was said, for longer than the model has positions', async () => {
    const chat = await Chat.start(blip2, coffee, { maxNewTokens: 20, minNewTokens: 20 });
    const said = async (question: string): Promise<string> => {
      let text = '';
      for await (const piece of chat.ask(question)) text += piece;
      return text;
    };
    const first = await said('what is it?');
    const again = await said('what is it?');
    const options = { numBeams: 1, maxNewTokens: 20, minNewTokens: 20 };
    expect(first).toBe(await blip2.caption(coffee, { ...options, prompt: 'Question: what is it? Answer:' }));
    const history = `Question: what is it? Answer: ${first}. Question: what is it? Answer:`;
    expect(again).toBe(await blip2.caption(coffee, { ...options, prompt: history }));
    for (let i = 0; i < 4; i++) await said('and what else is there?');
    expect(chat.turns).toHaveLength(6);
    chat.close();
    await expect(said('one more?')).rejects.toThrow('disposed of');
  });
});
