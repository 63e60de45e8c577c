import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Blip2ForConditionalGeneration, type Blip2Processor, building, eye, Generator, randn, scope } from 'blip2';
import { Encoder } from '../../examples/captioner/encoder.ts';
import { smallBlip2 } from '../../examples/captioner/model.ts';
import { concepts } from '../../examples/emoji/concepts.ts';
import { EmojiScenes } from '../../examples/emoji/dataset.ts';
import { makeProcessor, special, vocabulary } from '../../examples/emoji/vocabulary.ts';
import { startTower } from '../../examples/encoders/start.ts';

const few = concepts.slice(0, 4);
let folder: string;
let processor: Blip2Processor;

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-demo-'));
  processor = await makeProcessor(folder, few, 8);
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

test('every word of a caption is one token that is read back', () => {
  const text = 'a large sailboat in the bottom right on an orange background';
  const [ids] = processor.encode(text, false).inputIds as [number[]];
  expect(ids).toHaveLength(1 + text.split(' ').length);
  expect(ids[0]).toBe(special.end);
  expect(ids).not.toContain(special.unknown);
  expect(processor.tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(text);
  expect(processor.tokenizer.vocabSize).toBe(vocabulary(few).length);
});

test('queries, prompt and padding are not to be learned; the caption and its end are', () => {
  const encoder = new Encoder(processor);
  const captions = ['a small rocket in the middle on a red background', 'a small rocket in the top left on a red background'];
  const { inputIds, attentionMask, labels } = encoder.captions(captions);
  const [short] = inputIds.toArray() as number[][];
  const [learned, all] = labels.toArray() as number[][];
  const given = 8 + 4; // queries; </s> a photo of
  expect(short?.slice(0, 9)).toEqual([...new Array(8).fill(special.image), special.end]);
  expect(learned?.slice(0, given)).toEqual(new Array(given).fill(-100));
  expect(learned?.slice(given)).toEqual([...(short as number[]).slice(given, -1), -100]);
  expect(learned?.at(-2)).toBe(special.end);
  expect(all?.at(-1)).toBe(special.end);
  expect((attentionMask.toArray() as number[][])[0]?.at(-1)).toBe(0);
  expect(short?.at(-1)).toBe(special.pad);
});

test('pictures become what the image processor makes of them', async () => {
  const { pixels } = (await EmojiScenes.load(few)).batch('training', 0, 2);
  const own = new Encoder(processor).pictures(pixels);
  const bytes = pixels.subarray(0, pixels.length / 2);
  const theirs = await processor.imageProcessor.preprocess([{ data: bytes, width: 64, height: 64 }]);
  expect(own.narrow(0, 0, 1).sub(theirs).abs().max().item()).toBeLessThan(1e-5);
});

test('the tower starts with white patches and with what stands out from the ground', async () => {
  const data = await EmojiScenes.load(few);
  const model = building({ generator: new Generator(0) }, () => new Blip2ForConditionalGeneration(smallBlip2(40)));
  const pictures = new Encoder(processor).pictures(data.batch('training', 0, 256).pixels);
  startTower(model.visionModel, pictures);
  scope(() => {
    const { patchEmbedding, positionEmbedding } = model.visionModel.embeddings;
    const patches = patchEmbedding.forward(pictures).flatten(2).transpose(1, 2).reshape(-1, 128).detach();
    expect(patches.mean(0).abs().max().item()).toBeLessThan(1e-3);
    const covariance = patches.transpose(0, 1).matmul(patches).div(patches.size(0));
    const variances = covariance.diagonal();
    expect(covariance.sub(eye(128).mul(variances)).abs().max().item()).toBeLessThan(1e-3);
    expect(variances.max().item()).toBeCloseTo(1 / 1.01, 2); // λ₁ / (λ₁ + λ₁ / 100)
    const positions = positionEmbedding.detach();
    expect(positions.narrow(1, 1, 16).square().mean(-1).sub(8).abs().max().item()).toBeLessThan(1e-4); // 4² (sin² + cos²) / 2

    // What is the same in all tokens, the first attention takes away.
    const same = randn([1, 1, 128]).expand(1, 17, 128);
    const attended = model.visionModel.encoder.layers[0]?.selfAttn.forward(same);
    expect(attended?.add(same).abs().max().item()).toBeLessThan(1e-5);
  });
  model.dispose();
});
