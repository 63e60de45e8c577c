// Goldens: scripts/oracle/text.py.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Blip2Processor, type EncodeOptions, ImageProcessor, Tokenizer, type TokenName } from '../../src/index.ts';

const folder = path.resolve('test/fixtures/text');

interface Setting {
  padding?: 'longest' | 'max_length';
  padding_side?: 'left' | 'right';
  max_length?: number;
  truncation?: boolean;
  add_special_tokens?: boolean;
}

interface Goldens {
  length: number;
  special: Record<TokenName, number | null>;
  cases: { text: string; ids: number[]; decoded: string; plain: string }[];
  drawn: { ids: number[]; decoded: string; plain: string }[];
  batch: string[];
  batches: { setting: Setting; ids: number[][]; mask: number[][] }[];
  image_id: number;
  processed: { setting: Setting; ids: number[][]; mask: number[][]; text_ids: number[][] }[];
}

const goldens = (kind: string): Goldens =>
  JSON.parse(fs.readFileSync(path.join(folder, `${kind}.cases.json`), 'utf8')) as Goldens;

function options(setting: Setting): EncodeOptions {
  const { padding, padding_side, max_length, truncation, add_special_tokens } = setting;
  return {
    ...(padding === undefined ? {} : { padding }),
    ...(padding_side === undefined ? {} : { paddingSide: padding_side }),
    ...(max_length === undefined ? {} : { maxLength: max_length }),
    ...(truncation === undefined ? {} : { truncation }),
    ...(add_special_tokens === undefined ? {} : { addSpecialTokens: add_special_tokens }),
  };
}

describe.each(['bert', 'opt', 't5'])('%s', (kind) => {
  const golden = goldens(kind);
  const tokenizer = Tokenizer.fromPretrained(path.join(folder, kind));

  test('vocabulary and special ids', () => {
    expect(tokenizer.vocabSize).toBe(golden.length);
    for (const [name, id] of Object.entries(golden.special)) expect(tokenizer.specialId(name as TokenName) ?? null).toBe(id);
  });

  test.each(golden.cases)('$text', ({ text, ids, decoded, plain }) => {
    expect(tokenizer.encode(text).inputIds).toEqual([ids]);
    expect(tokenizer.decode(ids)).toBe(decoded);
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(plain);
  });

  test('ids that no text gives, some beyond the vocabulary, are decoded alike', () => {
    expect(tokenizer.batchDecode(golden.drawn.map(({ ids }) => ids))).toEqual(golden.drawn.map(({ decoded }) => decoded));
    const plain = tokenizer.batchDecode(
      golden.drawn.map(({ ids }) => ids),
      { skipSpecialTokens: true },
    );
    expect(plain).toEqual(golden.drawn.map((drawn) => drawn.plain));
  });

  test.each(golden.batches)('padding and truncation: $setting', ({ setting, ids, mask }) => {
    const batch = tokenizer.encode(golden.batch, options(setting));
    expect(batch.inputIds).toEqual(ids);
    expect(batch.attentionMask).toEqual(mask);
  });

  test.each(golden.processed)('Blip2Processor: $setting', ({ setting, ids, mask, text_ids }) => {
    const processor = new Blip2Processor(new ImageProcessor(), tokenizer, 3);
    expect(processor.imageTokenId).toBe(golden.image_id);
    // Hugging Face's pads on the side that the tokenizer says, ours on the side that the kind of model wants.
    const asked: EncodeOptions = { paddingSide: 'right', ...options(setting) };
    const batch = processor.encode(golden.batch, true, asked);
    expect(batch.inputIds).toEqual(ids);
    expect(batch.attentionMask).toEqual(mask);
    expect(processor.encode(golden.batch, false, asked).inputIds).toEqual(text_ids);
  });

  test('saved and read again it is the same', () => {
    const saved = fs.mkdtempSync(path.join(os.tmpdir(), 'tokenizer-'));
    tokenizer.savePretrained(saved);
    const again = Tokenizer.fromPretrained(saved);
    for (const { text, ids } of golden.cases) expect(again.encode(text).inputIds).toEqual([ids]);
    fs.rmSync(saved, { recursive: true });
  });
});

describe('older files', () => {
  let older: string;
  beforeEach(() => {
    older = fs.mkdtempSync(path.join(os.tmpdir(), 'older-'));
  });
  afterEach(() => fs.rmSync(older, { recursive: true }));

  test("vocab.txt is BERT's WordPiece", () => {
    const definition = JSON.parse(fs.readFileSync(path.join(folder, 'bert/tokenizer.json'), 'utf8')) as {
      model: { vocab: Record<string, number> };
    };
    const lines = Object.entries(definition.model.vocab).sort(([, a], [, b]) => a - b);
    fs.writeFileSync(path.join(older, 'vocab.txt'), `${lines.map(([token]) => token).join('\n')}\n`);
    const tokenizer = Tokenizer.fromPretrained(older);
    expect(tokenizer.vocabSize).toBe(30522);
    // Without tokenizer_config.json, the tokens have the names of BERT's own tokenizer.
    const { inputIds, attentionMask } = tokenizer.encode(['a', 'a dog'], { padding: true });
    expect([inputIds, attentionMask]).toEqual([
      [
        [101, 1037, 102, 0],
        [101, 1037, 3899, 102],
      ],
      [
        [1, 1, 1, 0],
        [1, 1, 1, 1],
      ],
    ]);
    expect((['pad', 'unk', 'cls', 'sep', 'mask'] as const).map((name) => tokenizer.specialId(name))).toEqual([
      0, 100, 101, 102, 103,
    ]);
    for (const { text, ids, plain } of goldens('bert').cases) {
      expect(tokenizer.encode(text).inputIds).toEqual([ids]);
      expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(plain);
    }
  });

  test("vocab.json and merges.txt are OPT's byte-level BPE, with </s> first", () => {
    for (const name of ['vocab.json', 'merges.txt']) fs.copyFileSync(path.join(folder, 'opt', name), path.join(older, name));
    const tokenizer = Tokenizer.fromPretrained(older);
    const golden = goldens('opt');
    for (const { text, ids, plain } of golden.cases) {
      if (/<s>|<unk>/.test(text)) continue; // which are no special tokens without a file that says so
      expect(tokenizer.encode(text).inputIds).toEqual([ids]);
      expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(plain);
    }
    expect(tokenizer.encode('').inputIds).toEqual([[2]]);
    expect((['bos', 'eos', 'unk', 'pad'] as const).map((name) => tokenizer.specialId(name))).toEqual([2, 2, 2, 1]);
    expect(tokenizer.encode(['', 'a'], { padding: true }).attentionMask[0]).toEqual([1, 0]);
  });

  // Without them Hugging Face's AutoTokenizer goes by the model's kind, which for BLIP-2 is another class with other ids.
  test.each([
    ['opt', ['vocab.json', 'merges.txt'], { bos_token: '</s>', eos_token: '</s>', unk_token: '</s>', pad_token: '<pad>' }],
    ['spiece', ['spiece.model'], { eos_token: '</s>', unk_token: '<unk>', pad_token: '<pad>' }],
  ])('%s: what its vocabulary alone does not say is written beside tokenizer.json', (kind, files, tokens) => {
    for (const name of files) fs.copyFileSync(path.join(folder, kind, name), path.join(older, name));
    const saved = path.join(older, 'saved');
    fs.mkdirSync(saved);
    Tokenizer.fromPretrained(older).savePretrained(saved);
    const config = JSON.parse(fs.readFileSync(path.join(saved, 'tokenizer_config.json'), 'utf8'));
    expect(config).toEqual({ ...tokens, tokenizer_class: 'PreTrainedTokenizerFast' });
  });

  test('tokens of special_tokens_map.json are written as tokenizer_config.json has them', () => {
    for (const name of ['vocab.json', 'merges.txt']) fs.copyFileSync(path.join(folder, 'opt', name), path.join(older, name));
    const token = { content: '<pad>', single_word: false, lstrip: false, rstrip: false, normalized: true };
    fs.writeFileSync(path.join(older, 'special_tokens_map.json'), JSON.stringify({ pad_token: token }));
    Tokenizer.fromPretrained(older).savePretrained(older);
    const config = JSON.parse(fs.readFileSync(path.join(older, 'tokenizer_config.json'), 'utf8'));
    expect(config.pad_token).toEqual({ ...token, __type: 'AddedToken' });
    expect(Tokenizer.fromPretrained(older).padTokenId).toBe(1);
  });

  test("spiece.model is T5's Unigram, with its own table of characters", () => {
    const tokenizer = Tokenizer.fromPretrained(path.join(folder, 'spiece'));
    const golden = goldens('spiece');
    expect(tokenizer.vocabSize).toBe(golden.length);
    expect(['pad', 'eos', 'unk', 'bos'].map((name) => tokenizer.specialId(name as TokenName))).toEqual([0, 1, 2, undefined]);
    tokenizer.savePretrained(older); // as tokenizer.json
    for (const one of [tokenizer, Tokenizer.fromPretrained(older)]) {
      for (const { text, ids, decoded, plain } of golden.cases) {
        expect([text, one.encode(text).inputIds]).toEqual([text, [ids]]);
        expect(one.decode(ids)).toBe(decoded);
        expect(one.decode(ids, { skipSpecialTokens: true })).toBe(plain);
      }
      const padded = one.encode(['a dog', 'a dog in the street'], { padding: true });
      expect(padded.attentionMask[0]).toContain(0);
      expect(padded.inputIds[0]?.at(-1)).toBe(0);
      expect(one.tokenToId('<extra_id_0>')).toBe(golden.length - 1);
    }
  });
});
