import { concepts, heldOutSet } from '../../examples/emoji/concepts.ts';
import { EmojiScenes, heldOutKinds } from '../../examples/emoji/dataset.ts';
import { PICTURE_BYTES } from '../../examples/emoji/draw.ts';
import {
  caption,
  colourNames,
  type Description,
  parseCaption,
  placeNames,
  sizeNames,
  sizes,
} from '../../examples/emoji/scene.ts';
import { holds, keptOut } from '../../examples/emoji/splits.ts';

const few = concepts.slice(0, 6);

/** The bounding box of what differs from the ground. */
function drawn(pixels: Uint8Array): { width: number; height: number; x: number; y: number } {
  const ground = [...pixels.subarray(0, 3)];
  const xs: number[] = [];
  const ys: number[] = [];
  for (let at = 0; at < PICTURE_BYTES; at += 3) {
    if (ground.every((value, c) => Math.abs(value - (pixels[at + c] as number)) < 6)) continue;
    xs.push((at / 3) % 64);
    ys.push(Math.floor(at / 3 / 64));
  }
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  return { width: right - left + 1, height: bottom - top + 1, x: (left + right + 1) / 2, y: (top + bottom + 1) / 2 };
}

describe('concepts', () => {
  test('are a hundred, each with an icon and a word of its own', () => {
    expect(concepts).toHaveLength(100);
    expect(new Set(concepts.map(({ icon }) => icon)).size).toBe(100);
    expect(new Set(concepts.map(({ word }) => word)).size).toBe(100);
    for (const { word } of concepts) expect(word).toMatch(/^[a-z]+(-[a-z]+)*$/);
  });
});

describe('captions', () => {
  test('say what the design says, with the right article', () => {
    const what: Description = { size: 'small', concept: 'sailboat', place: 'top left', colour: 'red' };
    expect(caption(what)).toBe('a small sailboat in the top left on a red background');
    expect(caption({ ...what, place: 'middle', colour: 'orange' })).toBe(
      'a small sailboat in the middle on an orange background',
    );
  });

  test('are read back as they were written', () => {
    for (const size of sizeNames)
      for (const place of placeNames)
        for (const colour of colourNames) {
          const what: Description = { size, concept: 'soccer-ball', place, colour };
          expect(parseCaption(caption(what))).toEqual(what);
        }
  });

  test.each([
    ['', {}],
    ['a large', { size: 'large' }],
    ['a huge crab in the top left on a red background', { concept: 'crab', place: 'top left', colour: 'red' }],
    ['a small crab in the top on a red background', { size: 'small', concept: 'crab', colour: 'red' }],
    ['a small crab in the bottom left', { size: 'small', concept: 'crab', place: 'bottom left' }],
    ['a small crab on a blue background', { size: 'small', concept: 'crab', colour: 'blue' }],
    ['a small crab in the middle on a crab background', { size: 'small', concept: 'crab', place: 'middle' }],
  ])('of which "%s" says a part', (text, said) => {
    expect(parseCaption(text)).toEqual(said);
  });
});

describe('pairs kept out', () => {
  test('are 15 % of colours and of places, for the demo as for all concepts', () => {
    for (const count of [32, 100]) {
      const some = concepts.slice(0, count);
      for (const part of [0, 1] as const) {
        const pairs = keptOut(some, part);
        expect(pairs.filter(({ what }) => 'colour' in what)).toHaveLength(Math.round(count * 8 * 0.15));
        expect(pairs.filter(({ what }) => 'place' in what)).toHaveLength(Math.round(count * 5 * 0.15));
      }
    }
    const demo = keptOut(concepts.slice(0, 32), 0);
    expect(keptOut(concepts, 0).slice(0, demo.length)).toEqual(demo);
  });

  test('differ between testing and validation', () => {
    const test = keptOut(concepts, 0).map((pair) => JSON.stringify(pair));
    const validation = keptOut(concepts, 1).map((pair) => JSON.stringify(pair));
    expect(test.filter((pair) => validation.includes(pair))).toEqual([]);
    expect(new Set([...test, ...validation]).size).toBe(test.length + validation.length);
  });
});

describe('scenes', () => {
  test('are the same whenever, and in whatever batch, they are drawn', async () => {
    const one = await EmojiScenes.load(few);
    const other = await EmojiScenes.load(few);
    for (const kind of ['training', ...heldOutKinds] as const) {
      const batch = one.batch(kind, 10, 8);
      expect(other.batch(kind, 10, 8)).toEqual(batch);
      const late = other.batch(kind, 13, 2);
      expect(late.captions).toEqual(batch.captions.slice(3, 5));
      expect(late.pixels).toEqual(batch.pixels.slice(3 * PICTURE_BYTES, 5 * PICTURE_BYTES));
    }
    const another = await EmojiScenes.load(few, { seed: 1 });
    expect(another.batch('training', 0, 8).captions).not.toEqual(one.batch('training', 0, 8).captions);
    expect(another.batch('unseen style', 0, 8)).toEqual(one.batch('unseen style', 0, 8));
  });

  test('keep every held-out pair and the held-out hand from training, in validation too', async () => {
    const data = await EmojiScenes.load(concepts.slice(0, 32));
    const choosing = await EmojiScenes.load(concepts.slice(0, 32), { validation: true });
    const [test, validation] = [keptOut(data.concepts, 0), keptOut(data.concepts, 1)];
    for (let i = 0; i < 4000; i++) {
      const training = data.scene('training', i);
      expect(holds(test, training) || training.set === heldOutSet).toBe(false);
      const combination = data.scene('new combinations', i);
      expect(holds(test, combination) && combination.set !== heldOutSet).toBe(true);
      const style = data.scene('unseen style', i);
      expect(!holds(test, style) && style.set === heldOutSet).toBe(true);

      const chosen = choosing.scene('training', i);
      expect(holds([...test, ...validation], chosen) || [heldOutSet, 'noto-v1'].includes(chosen.set)).toBe(false);
      expect(holds(validation, choosing.scene('new combinations', i))).toBe(true);
      expect(choosing.scene('unseen style', i).set).toBe('noto-v1');
    }
  });

  test('show what their captions say', async () => {
    const data = await EmojiScenes.load(few);
    for (const kind of ['training', ...heldOutKinds] as const) {
      const { pixels, scenes } = data.batch(kind, 0, 40);
      for (const [i, scene] of scenes.entries()) {
        if (scene.colour === 'grey' || scene.concept === 'castle') continue; // grey stone on grey has no outline to find
        const box = drawn(pixels.subarray(i * PICTURE_BYTES, (i + 1) * PICTURE_BYTES));
        expect(Math.abs(Math.max(box.width, box.height) - sizes[scene.size])).toBeLessThanOrEqual(6);
        expect(Math.hypot(box.x - scene.x, box.y - scene.y)).toBeLessThanOrEqual(6);
      }
    }
  });
});
