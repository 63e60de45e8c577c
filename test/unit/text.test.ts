import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  ArgumentError,
  Blip2Processor,
  blipCaption,
  blipQuestion,
  FileError,
  ImageError,
  ImageProcessor,
  TokenBatch,
  Tokenizer,
} from '../../src/index.ts';

const fixtures = path.resolve('test/fixtures/text');
const photo = path.resolve('test/fixtures/photos/rocket.jpg');
let folder: string;

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'text-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

const write = (name: string, content: unknown): void =>
  fs.writeFileSync(path.join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));

const WORDS = { type: 'WordLevel', vocab: { '<unk>': 0, a: 1, photo: 2 }, unk_token: '<unk>' };

describe('Tokenizer', () => {
  test('a model of whole words', () => {
    write('tokenizer.json', { model: WORDS, pre_tokenizer: { type: 'WhitespaceSplit' }, normalizer: { type: 'Lowercase' } });
    write('tokenizer_config.json', { bos_token: '<s>', pad_token: { content: '<pad>' }, add_bos_token: true });
    const tokenizer = Tokenizer.fromPretrained(folder);
    expect(tokenizer.encode('A  photo of').inputIds).toEqual([[3, 1, 2, 0]]);
    expect(tokenizer.decode([3, 1, 2, 0], { skipSpecialTokens: true })).toBe('a photo <unk>');
    expect([tokenizer.bosTokenId, tokenizer.padTokenId, tokenizer.eosTokenId]).toEqual([3, 4, undefined]);
    expect(tokenizer.vocabSize).toBe(5);
  });

  test('a special token more takes the next free id, and none when it is there', () => {
    const tokenizer = Tokenizer.fromPretrained(path.join(fixtures, 't5'));
    const more = tokenizer.withSpecialToken('<image>');
    expect(more.tokenToId('<image>')).toBe(tokenizer.vocabSize);
    expect(more.vocabSize).toBe(tokenizer.vocabSize + 1);
    expect(more.encode('<image>', { addSpecialTokens: false }).inputIds).toEqual([[tokenizer.vocabSize]]);
    expect(more.withSpecialToken('<image>')).toBe(more);
    expect(more.specialIds.has(tokenizer.vocabSize)).toBe(true);
  });

  test('truncation may take from the left', () => {
    write('tokenizer.json', { model: WORDS, pre_tokenizer: { type: 'WhitespaceSplit' } });
    write('tokenizer_config.json', { truncation_side: 'left', model_max_length: 2 });
    const tokenizer = Tokenizer.fromPretrained(folder);
    expect(tokenizer.encode('photo a photo', { truncation: true }).inputIds).toEqual([[1, 2]]);
    expect(tokenizer.encode('photo a photo', { maxLength: 1 }).inputIds).toEqual([[2]]);
  });

  test('tensors are int64 [B, L], of rows of one length', () => {
    const { inputIds, attentionMask } = new TokenBatch(
      [
        [1, 2],
        [3, 4],
      ],
      [
        [1, 1],
        [1, 0],
      ],
    ).toTensors();
    expect([inputIds.dtype, inputIds.toArray(), attentionMask.toArray()]).toEqual([
      'int64',
      [
        [1, 2],
        [3, 4],
      ],
      [
        [1, 1],
        [1, 0],
      ],
    ]);
    expect(() => new TokenBatch([[1], [2, 3]], [[1], [1, 1]]).toTensors()).toThrow(/rows of 1 and 2 tokens/);
    expect(new TokenBatch([], []).toTensors().inputIds.shape).toEqual([0, 0]);
  });

  test('what cannot be encoded as asked is refused', () => {
    const bert = Tokenizer.fromPretrained(path.join(fixtures, 'bert'));
    expect(() => bert.encode([1 as unknown as string])).toThrow(ArgumentError);
    expect(() => bert.encode(5 as unknown as string)).toThrow(/texts/);
    expect(() => bert.encode('a', null as never)).toThrow(/options/);
    for (const wrong of [
      { paddingSide: 'top' },
      { padding: 'shortest' },
      { truncation: 'left' },
      { addSpecialTokens: 1 },
      { maxLen: 5 },
    ]) {
      const [name = ''] = Object.keys(wrong);
      expect(() => bert.encode('a', wrong as never)).toThrow(expect.objectContaining({ name: 'ArgumentError', argument: name }));
    }
    expect(() => bert.encode('a', { truncation: true, maxLength: 1 })).toThrow(/a whole number from 2 for maxLength/);
    expect(() => bert.encode('a', { padding: 'max_length', maxLength: -1 })).toThrow(ArgumentError);
    expect(() => bert.encode('a', { padding: 'max_length', maxLength: 1e9 })).toThrow(/at most 1048576 .* for maxLength/);
    write('tokenizer.json', { model: WORDS, pre_tokenizer: null });
    const bare = Tokenizer.fromPretrained(folder);
    expect(() => bare.encode('a', { padding: true })).toThrow(/tokenizer without a padding token/);
    expect(() => bare.encode('a', { truncation: true })).toThrow(/maxLength/);
  });

  const bert = fs.readFileSync(path.join(fixtures, 'bert/tokenizer.json'), 'utf8');

  test.each<[string, string, RegExp]>([
    ['no JSON', '{', /tokenizer\.json: expected JSON/],
    ['bytes cut off', bert.slice(0, 100_000), /tokenizer\.json: expected JSON/],
    ['a list', '[]', /expected a JSON object/],
    ['nothing', '{}', /model: expected an object/],
    ['deep nesting', '['.repeat(1e5), /nested at most 64 deep/],
    ['an unknown model', '{"model":{"type":"Neural"}}', /model\.type: expected one of/],
    ['a vocabulary that is a list', '{"model":{"type":"BPE","vocab":[],"merges":[]}}', /model\.vocab/],
    ['a negative id', '{"model":{"type":"WordLevel","vocab":{"a":-1}}}', /model\.vocab\."a"/],
    ['an id as text', '{"model":{"type":"WordPiece","vocab":{"a":"1"}}}', /model\.vocab\."a"/],
    ['an id beyond reason', '{"model":{"type":"WordLevel","vocab":{"a":4294967295}}}', /expected an id below/],
    ['a broken merge', '{"model":{"type":"BPE","vocab":{"a":0},"merges":["a"]}}', /model\.merges\[0\]/],
    ['merges of two forms', '{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b",["a","b"]]}}', /model\.merges\[1\]/],
    ['no merges', '{"model":{"type":"BPE","vocab":{"a":0}}}', /model\.merges/],
    ['a Unigram without scores', '{"model":{"type":"Unigram","vocab":["a"],"unk_id":0}}', /model\.vocab\[0\]/],
    ['a Unigram without unknown', '{"model":{"type":"Unigram","vocab":[["a",0]]}}', /model\.unk_id/],
    [
      'added tokens without ids',
      '{"model":{"type":"WordLevel","vocab":{"a":0}},"added_tokens":[{"content":"b"}]}',
      /added_tokens\[0\]/,
    ],
    [
      'an unknown step',
      '{"model":{"type":"WordLevel","vocab":{"a":0}},"normalizer":{"type":"Magic"}}',
      /is no tokenizer that is understood/,
    ],
    [
      'a step that is a number',
      '{"model":{"type":"WordLevel","vocab":{"a":0}},"decoder":7}',
      /is no tokenizer that is understood/,
    ],
    [
      'a template of tokens that are not there',
      '{"model":{"type":"WordLevel","vocab":{"a":0}},"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[X]"}},{"Sequence":{"id":"A"}}]}}',
      /post_processor/,
    ],
    [
      'a broken template',
      '{"model":{"type":"WordLevel","vocab":{"a":0}},"post_processor":{"type":"TemplateProcessing"}}',
      /tokenizer\.json/,
    ],
  ])('a tokenizer.json with %s is refused', (_, content, message) => {
    write('tokenizer.json', content);
    expect(() => Tokenizer.fromPretrained(folder)).toThrow(FileError);
    expect(() => Tokenizer.fromPretrained(folder)).toThrow(message);
  });

  test('other files that are damaged are refused by name', () => {
    expect(() => Tokenizer.fromPretrained(folder)).toThrow(
      /expected tokenizer\.json, or vocab\.json with merges\.txt, or vocab\.txt/,
    );
    write('vocab.json', { a: 0 });
    expect(() => Tokenizer.fromPretrained(folder)).toThrow(/merges\.txt: cannot be read/);
    write('merges.txt', '#version: 0.2\na b c\n');
    expect(() => Tokenizer.fromPretrained(folder)).toThrow(/merges\.txt: expected two tokens a line but received "a b c"/);
    write('tokenizer_config.json', { bos_token: 7 });
    write('merges.txt', '');
    expect(() => Tokenizer.fromPretrained(folder)).toThrow(/tokenizer_config\.json: bos_token: expected a string but received 7/);
    fs.rmSync(path.join(folder, 'vocab.json'));
    write('tokenizer_config.json', {});
    fs.writeFileSync(path.join(folder, 'vocab.txt'), Buffer.from([0xff, 0xfe]));
    expect(() => Tokenizer.fromPretrained(folder)).toThrow(/vocab\.txt: expected UTF-8 text/);
  });

  test('a tokenizer without a token for unknown text says so', () => {
    write('tokenizer.json', { model: { type: 'WordLevel', vocab: { a: 0 } }, pre_tokenizer: { type: 'WhitespaceSplit' } });
    expect(() => Tokenizer.fromPretrained(folder).encode('a b')).toThrow(/tokenizer\.json: has no token for unknown text/);
  });

  test('names that mean something to JavaScript are words', () => {
    const vocab = '{"<unk>":0,"__proto__":1,"constructor":2}';
    write(
      'tokenizer.json',
      `{"model":{"type":"WordLevel","vocab":${vocab},"unk_token":"<unk>"},"pre_tokenizer":{"type":"WhitespaceSplit"}}`,
    );
    expect(Tokenizer.fromPretrained(folder).encode('constructor __proto__ toString').inputIds).toEqual([[2, 1, 0]]);
  });
});

describe('Blip2Processor', () => {
  const make = (): Blip2Processor =>
    new Blip2Processor(
      new ImageProcessor({ size: { height: 8, width: 8 } }),
      Tokenizer.fromPretrained(path.join(fixtures, 'opt')),
      3,
    );

  test('pictures and texts, padded on the left of a decoder-only model', async () => {
    const processor = make();
    const { pixelValues, inputIds, attentionMask } = await processor.preprocess({
      images: [photo, photo],
      text: ['a cat', 'cat'],
    });
    expect(pixelValues?.shape).toEqual([2, 3, 8, 8]);
    const [image, pad] = [processor.imageTokenId, 1];
    const long = processor.tokenizer.encode('a cat').inputIds[0] as number[];
    const short = processor.tokenizer.encode('cat').inputIds[0] as number[];
    const padding = Array<number>(long.length - short.length).fill(pad);
    expect(inputIds?.toArray()).toEqual([
      [image, image, image, ...long],
      [image, image, image, ...padding, ...short],
    ]);
    expect(attentionMask?.toArray()).toEqual([
      Array(3 + long.length).fill(1),
      [1, 1, 1, ...padding.map(() => 0), ...short.map(() => 1)],
    ]);
  });

  test('BERT is padded on the right; the configuration decides where it says', () => {
    const bert = new Blip2Processor(new ImageProcessor(), Tokenizer.fromPretrained(path.join(fixtures, 'bert')), null);
    expect(bert.encode(['a', 'a b'], true, { padding: true }).inputIds[0]?.at(-1)).toBe(0);
    write('tokenizer.json', { model: WORDS, pre_tokenizer: { type: 'WhitespaceSplit' } });
    write('tokenizer_config.json', { pad_token: '<unk>', padding_side: 'right' });
    const right = new Blip2Processor(new ImageProcessor(), Tokenizer.fromPretrained(folder), 1);
    expect(right.encode(['a', 'a a'], false, { padding: true }).attentionMask).toEqual([
      [1, 0],
      [1, 1],
    ]);
  });

  test('maxLength counts the image tokens, and cuts the text', async () => {
    const processor = make();
    const { inputIds } = await processor.preprocess({ images: photo, text: 'a small cat on a beach' }, { maxLength: 7 });
    expect(inputIds?.shape).toEqual([1, 7]);
    expect((await processor.preprocess({ text: 'a cat' }, { maxLength: 9, padding: 'max_length' })).inputIds?.shape).toEqual([
      1, 6,
    ]);
  });

  test('pictures alone, and text alone', async () => {
    const processor = make();
    expect(Object.keys(await processor.preprocess({ images: photo }))).toEqual(['pixelValues']);
    expect(Object.keys(await processor.preprocess({ text: 'a' }))).toEqual(['inputIds', 'attentionMask']);
    await expect(processor.preprocess({})).rejects.toThrow(ArgumentError);
    await expect(processor.preprocess({ image: photo } as object)).rejects.toThrow(/fields out of images, text .*received image/);
    await expect(processor.preprocess({ images: photo }, { maxLen: 5 } as object)).rejects.toThrow(
      /an option of encode for maxLen/,
    );
    await expect(processor.preprocess({ images: [photo, photo], text: 'a' })).rejects.toThrow(/2 texts, one a picture/);
    await expect(processor.preprocess({ images: 'gone.jpg', text: 'a' })).rejects.toThrow(ImageError);
    expect(() => new Blip2Processor(processor.imageProcessor, processor.tokenizer, 0)).toThrow(ArgumentError);
  });

  test('a definition that fails only on a text names its file', () => {
    const split = { type: 'Split', pattern: { String: ' ' }, behavior: [null], invert: false };
    write('tokenizer.json', { model: WORDS, pre_tokenizer: split });
    const tokenizer = Tokenizer.fromPretrained(folder);
    expect(() => tokenizer.encode('a a')).toThrow(
      expect.objectContaining({ code: 'ERR_FILE', file: expect.stringMatching(/tokenizer\.json$/) }),
    );
  });

  test('the number of image tokens comes from either file, or is null', () => {
    make().savePretrained(folder);
    expect(Blip2Processor.fromPretrained(folder)).toMatchObject({ numQueryTokens: 3, imageProcessor: make().imageProcessor });
    fs.rmSync(path.join(folder, 'processor_config.json'));
    expect(Blip2Processor.fromPretrained(folder).numQueryTokens).toBeNull();
    write('config.json', { image_token_index: 50265 });
    expect(Blip2Processor.fromPretrained(folder).numQueryTokens).toBe(32);
    write('config.json', { image_token_index: 50265, num_query_tokens: 8 });
    expect(Blip2Processor.fromPretrained(folder).numQueryTokens).toBe(8);
    // So many image tokens would take more memory than there is.
    for (const wrong of ['many', 1e9]) {
      write('processor_config.json', { num_query_tokens: wrong });
      expect(() => Blip2Processor.fromPretrained(folder)).toThrow(/processor_config\.json: num_query_tokens/);
    }
    fs.rmSync(path.join(folder, 'processor_config.json'));
    write('config.json', { image_token_index: 50265, num_query_tokens: 1e9 });
    expect(() => Blip2Processor.fromPretrained(folder)).toThrow(/config\.json: num_query_tokens/);
  });
});

describe('captions and questions as LAVIS prepares them', () => {
  const many = Array.from({ length: 60 }, (_, i) => `w${i}`);

  test.each([
    ['A Dog. (Running) on the "beach"!', 'a dog running on the beach'],
    ['what?  a, b\t\tc', 'what? a, b c'],
    ['trailing \n\n', 'trailing'],
    ['one\ttab stays', 'one\ttab stays'],
    ['\u001c\u001d x \u0085\u00a0y', 'x y'],
    ['#hash*star:semi;tilde~', 'hash star semi tilde'],
    ['', ''],
    [many.join(' '), many.slice(0, 50).join(' ')],
  ])('caption %j', (caption, expected) => {
    expect(blipCaption(caption)).toBe(expected);
    expect(blipCaption(caption, { prompt: 'a photo of ' })).toBe(`a photo of ${expected}`);
  });

  test.each([
    ['What is (this)?', 'what is this?'],
    ['  Where:  are we...  ', '  where  are we'],
    [many.join(' '), many.slice(0, 50).join(' ')],
  ])('question %j', (question, expected) => expect(blipQuestion(question)).toBe(expected));

  test('fewer words', () => {
    expect(blipCaption('a b c', { maxWords: 2 })).toBe('a b');
    expect(blipQuestion('a b c', { maxWords: 1 })).toBe('a');
  });
});
