import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { building, Generator, scope, setThreads, type TrainingLog } from 'blip2';
import { Art } from '../../examples/emoji/art.ts';
import { concepts } from '../../examples/emoji/concepts.ts';
import { EmojiScenes } from '../../examples/emoji/dataset.ts';
import { draw, PICTURE_BYTES } from '../../examples/emoji/draw.ts';
import { normalised } from '../../examples/emoji/pictures.ts';
import { colourNames, placeNames, SIDE, sizes } from '../../examples/emoji/scene.ts';
import { drawWarped, PLAIN } from '../../examples/emoji/warp.ts';
import { readingFigures } from '../../examples/encoders/vision/evaluate.ts';
import { ReadingObjective } from '../../examples/encoders/vision/objective.ts';
import { type Labelled, LabelledPictures, PATCHES } from '../../examples/encoders/vision/pictures.ts';
import { SceneReader, towerConfig } from '../../examples/encoders/vision/reader.ts';
import { visionRecipe } from '../../examples/encoders/vision/recipe.ts';
import { trainVision } from '../../examples/encoders/vision/train.ts';
import { loadReader, saveReader, VISION_WEIGHTS } from '../../examples/encoders/vision/weights.ts';

const few = concepts.slice(0, 6);
let folder: string;
beforeAll(() => {
  setThreads(1);
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-encoders-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

describe('training pictures', () => {
  const options = { ...visionRecipe, seed: 3 };

  test('are the same whenever, and in whatever batch, they are drawn', async () => {
    const pictures = await LabelledPictures.load(few, options);
    const batch = pictures.batch(5, 16);
    const late = pictures.batch(9, 2);
    expect(late.pixels).toEqual(batch.pixels.slice(4 * PICTURE_BYTES, 6 * PICTURE_BYTES));
    expect(late.patches).toEqual(batch.patches.slice(4 * PATCHES, 6 * PATCHES));
    // The released weights were trained on these very pictures.
    const released = (await LabelledPictures.load(concepts, visionRecipe)).batch(0, 64);
    const digest = createHash('sha256');
    for (const part of [
      released.patches,
      released.patchContexts,
      released.concept,
      released.colour,
      released.place,
      released.size,
    ]) {
      digest.update(new Uint8Array(part.buffer));
    }
    expect(digest.digest('hex').slice(0, 16)).toBe('c7e6e4824fee534e');
    const mean = released.pixels.reduce((sum, value) => sum + value, 0) / released.pixels.length;
    expect(mean).toBeCloseTo(139, 1);
  });

  test.each([false, true])('show nothing that is kept out (validation: %s)', async (validation) => {
    const pictures = await LabelledPictures.load(few, { ...options, validation });
    const { patches, patchContexts, concept, context, colour, place } = pictures.batch(0, 1500);
    const ruledOut = pictures.ruledOut();
    const isRuledOut = (at: bigint | undefined, one: bigint | undefined): boolean => {
      return one !== undefined && one >= 0n && ruledOut[Number(at)]?.[Number(one)] === 1;
    };
    expect([...patches.keys()].filter((i) => isRuledOut(patchContexts[i], patches[i]))).toEqual([]);
    expect([...concept.keys()].filter((i) => isRuledOut(context[i], concept[i]))).toEqual([]);
    for (const [i, one] of concept.entries()) {
      if (colour[i] === undefined || colour[i] < 0n) continue;
      const scene = {
        concept: few[Number(one)]?.word ?? '',
        colour: colourNames[Number(colour[i])] ?? 'red',
        place: placeNames[Number(place[i])] ?? 'middle',
      };
      expect(pictures.scenes.isKeptOut(scene)).toBe(false);
    }
    expect(new Set(pictures.scenes.sets)).not.toContain('emojione');
    expect(ruledOut.flat().some((one) => one === 1)).toBe(true);
    // Half of them are loose, and of many of those more than one object is asked for.
    const asked = [...colour].filter((one) => one >= 0n).length;
    expect(asked).toBeGreaterThan(650);
    expect(asked).toBeLessThan(850);
    const kinds = Array.from({ length: 1500 }, (_, i) => {
      const own = [...patches.slice(i * PATCHES, (i + 1) * PATCHES)].filter((one) => one >= 0n && one < few.length);
      return new Set(own).size;
    });
    expect(kinds.filter((count) => count > 1).length).toBeGreaterThan(150);
  });

  test('label the patches that the object covers', async () => {
    const plain = { turn: 0, stretch: 0, shear: 0, scale: 0, hue: 0, fade: 0, palette: 0, hide: 0 };
    const pictures = await LabelledPictures.load(few, { ...options, augmentation: plain, loose: 0 });
    const { patches, place, size } = pictures.batch(0, 200);
    const corners = [0, 3, 12, 15];
    for (let i = 0; i < 200; i++) {
      const own = [...patches.slice(i * PATCHES, (i + 1) * PATCHES)];
      const where = placeNames[Number(place[i])];
      const far = corners[3 - ['top left', 'top right', 'bottom left', 'bottom right'].indexOf(where ?? '')];
      if (where !== 'middle' && far !== undefined) expect(own[far]).toBe(BigInt(few.length));
      const covered = own.filter((one) => one >= 0n && one < few.length).length;
      expect(covered).toBeGreaterThanOrEqual(1);
      if (size[i] === 0n) expect(covered).toBeLessThanOrEqual(9);
    }
  });
});

test('an object that is not warped is drawn as in a scene', async () => {
  const data = await EmojiScenes.load(few);
  const art = await Art.load(few, data.sets);
  for (let i = 0; i < 20; i++) {
    const scene = { ...data.scene('training', i), mirrored: false, tint: null };
    const sprite = art.sprite(scene);
    const expected = new Uint8Array(PICTURE_BYTES);
    draw(scene, sprite, expected);
    const picture = new Uint8ClampedArray(PICTURE_BYTES);
    for (let at = 0; at < PICTURE_BYTES; at += 3) picture.set(scene.ground, at);
    const start = (middle: number, length: number): number =>
      Math.max(0, Math.min(SIDE - length, Math.round(middle - length / 2))) + length / 2;
    const covered = new Float32Array(PATCHES);
    const [x, y] = [start(scene.x, sprite.width), start(scene.y, sprite.height)];
    drawWarped({ sprite, x, y, matrix: [1, 0, 0, 1], paint: PLAIN, hidden: null }, picture, 16, covered);
    const off = picture.reduce((most, value, at) => Math.max(most, Math.abs(value - (expected[at] as number))), 0);
    expect(off).toBeLessThanOrEqual(1);
    const area = covered.reduce((sum, value) => sum + value, 0);
    expect(area).toBeLessThanOrEqual(sizes[scene.size] ** 2);
    expect(area).toBeGreaterThan(0.2 * sizes[scene.size] ** 2);
  }
});

test('the loss says nothing of concepts that training never shows there', async () => {
  const reader = building({ generator: new Generator(0) }, () => new SceneReader(towerConfig(), 3));
  const ruledOut = [
    [0, 1, 0, 0],
    [0, 0, 0, 0],
  ];
  const objective = new ReadingObjective(reader, ruledOut);
  const pixels = new Uint8Array(PICTURE_BYTES).map((_, i) => (i * 37) % 256);
  const batchOf = (context: bigint): Labelled => ({
    pixels,
    patches: new BigInt64Array(PATCHES).fill(-100n),
    patchContexts: new BigInt64Array(PATCHES).fill(context),
    concept: BigInt64Array.of(0n),
    context: BigInt64Array.of(context),
    colour: BigInt64Array.of(-100n),
    place: BigInt64Array.of(-100n),
    size: BigInt64Array.of(-100n),
  });
  scope(() => {
    const [probabilities] = reader.forward(normalised(pixels)).concept.softmax(-1).toArray() as number[][];
    const [a, , c] = probabilities as [number, number, number];
    const lossOf = (context: bigint): number => objective.losses(objective.prepare(batchOf(context))).loss.item();
    expect(lossOf(1n)).toBeCloseTo(-Math.log(a), 4);
    expect(lossOf(0n)).toBeCloseTo(-Math.log(a / (a + c)), 4);
  });
  reader.dispose();
});

describe('a run', () => {
  const recipe = {
    ...visionRecipe,
    steps: 6,
    batchSize: 8,
    concepts: 3,
    schedule: { ...visionRecipe.schedule, warmupSteps: 2 },
  };

  test('lowers its loss, and goes on bit for bit where it was ended', async () => {
    const seen: number[] = [];
    const log = (stop?: () => void): TrainingLog => ({
      open: () => {},
      step: ({ step, losses }) => {
        seen.push(losses.loss as number);
        if (step === 3) stop?.();
      },
      evaluation: () => {},
      message: () => {},
      close: () => {},
    });
    const whole = await trainVision(recipe, { directory: path.join(folder, 'whole'), logs: [log()] });
    expect(seen).toHaveLength(6);
    expect(Math.min(...seen.slice(3))).toBeLessThan(seen[0] as number);

    const controller = new AbortController();
    const directory = path.join(folder, 'parts');
    const first = await trainVision(recipe, { directory, logs: [log(() => controller.abort())], signal: controller.signal });
    expect(first.result.reason).toBe('abort');
    expect(first.result.step).toBeLessThan(6);
    const second = await trainVision(recipe, { directory, resume: true });
    expect(second.result).toMatchObject({ reason: 'done', step: 6 });
    const own = second.reader.stateDict();
    for (const [name, tensor] of whole.reader.stateDict()) {
      scope(() => expect([name, own.get(name)?.detach().sub(tensor.detach()).abs().max().item()]).toEqual([name, 0]));
    }

    // What is written in float16 is read back.
    const file = path.join(folder, 'vision.safetensors');
    saveReader(whole.reader, file);
    const read = loadReader(file, 3);
    scope(() => {
      const pictures = normalised(whole.scenes.batch('training', 0, 4).pixels);
      const [given, kept] = [read, whole.reader].map((reader) => reader.forward(pictures).concept.detach());
      expect(
        given
          ?.sub(kept as NonNullable<typeof kept>)
          .abs()
          .max()
          .item(),
      ).toBeLessThan(0.05);
    });
    for (const each of [whole, first, second]) each.reader.dispose();
    read.dispose();
  });
});

test('the committed weights are small, and know what is in held-out scenes', async () => {
  expect(fs.statSync(VISION_WEIGHTS).size).toBeLessThanOrEqual(2e6);
  const reader = loadReader();
  const figures = readingFigures(reader, await EmojiScenes.load(concepts), 300);
  expect(figures['new combinations concept']).toBeGreaterThanOrEqual(85);
  expect(figures['unseen style concept']).toBeGreaterThanOrEqual(55);
  for (const kind of ['new combinations', 'unseen style']) {
    for (const what of ['colour', 'place', 'size']) expect(figures[`${kind} ${what}`]).toBeGreaterThanOrEqual(90);
  }
  reader.dispose();
});

test('a picture of the wrong number of bytes is refused', () => {
  expect(() => normalised(new Uint8Array(100))).toThrow();
  scope(() => expect(normalised(new Uint8Array(2 * PICTURE_BYTES)).shape).toEqual([2, 3, SIDE, SIDE]));
});
