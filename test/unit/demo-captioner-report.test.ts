import sharp from 'sharp';
import { reportPage } from '../../examples/captioner/report/page.ts';
import { marked, type Report, samples } from '../../examples/captioner/report/result.ts';
import { contactSheet, sheetSize } from '../../examples/captioner/report/sheet.ts';
import { concepts } from '../../examples/emoji/concepts.ts';
import { EmojiScenes } from '../../examples/emoji/dataset.ts';
import { figuresOf } from '../../examples/emoji/figures.ts';
import type { Description } from '../../examples/emoji/scene.ts';
import { Letters } from '../../examples/report/letters.ts';

async function report(): Promise<Report> {
  const data = await EmojiScenes.load(concepts.slice(0, 4));
  const { scenes, captions, pixels } = data.batch('new combinations', 0, 20);
  const given = captions.map((caption, i) => (i % 2 === 0 ? caption : caption.replace('a small', 'a large <b>')));
  const figures = figuresOf(scenes, given);
  return {
    title: 'A test',
    summary: 'of two & three',
    results: [{ kind: 'new combinations', scenes, captions, given, pixels, figures }],
  };
}

test('figures count what is wholly right and each attribute', () => {
  const truth: Description = { size: 'small', concept: 'crab', place: 'top left', colour: 'red' };
  const given = [
    'a small crab in the top left on a red background',
    'a large crab in the top left on a red background',
    'a small key in the middle on a blue background',
    '',
  ];
  expect(figuresOf([truth, truth, truth, truth], given)).toEqual({ exact: 25, size: 50, concept: 50, place: 50, colour: 50 });
  expect(() => figuresOf([truth], [])).toThrow(RangeError);
});

test('the words that the true caption does not have are marked', () => {
  const words = marked({ caption: 'a small crab in the top left', given: 'a small key in the bottom left' });
  expect(words.filter(({ right }) => !right).map(({ word }) => word)).toEqual(['key', 'bottom']);
});

test('lettering is paths of numbers alone, at every place', async () => {
  const letters = await Letters.load('bold');
  const text = 'the quick brown fox, jumps over: 0123456789 lazy-dogs %';
  for (let x = 0; x < 50; x++) expect(letters.path(text, x, 20 + x, 17, '#000')).toMatch(/ d="[MLQCZ0-9. -]+"\/>$/);
  expect(letters.width(text, 34)).toBeCloseTo(2 * letters.width(text, 17), 6);
});

test('the contact sheet is a PNG of the size told, with pictures and lettering on it', async () => {
  const made = await report();
  const sheet = await contactSheet(made, 7);
  const { format, width, height } = await sharp(sheet).metadata();
  expect({ format, width, height }).toEqual({ format: 'png', ...sheetSize(made, 7) });
  const title = await sharp(sheet).extract({ left: 20, top: 15, width: 70, height: 26 }).greyscale().stats();
  expect(title.channels[0]?.min).toBeLessThan(100);
  const { pixels } = samples(made.results[0] as Report['results'][number], 1)[0] as { pixels: Uint8Array };
  const corner = await sharp(sheet).extract({ left: 20, top: 114, width: 1, height: 1 }).removeAlpha().raw().toBuffer();
  for (let c = 0; c < 3; c++) expect(Math.abs((corner[c] as number) - (pixels[c] as number))).toBeLessThanOrEqual(16);
});

test('no picture of OpenMoji is shown, and none is chosen by whether its caption is right', async () => {
  const [result] = (await report()).results as [Report['results'][number]];
  const shown = samples(result, 20).map(({ caption }) => caption);
  expect(result.scenes.some(({ set }) => set === 'openmoji')).toBe(true);
  expect(shown).toEqual(result.captions.filter((_, i) => result.scenes[i]?.set !== 'openmoji'));
});

test('the page holds its pictures itself and takes captions as text', async () => {
  const made = await report();
  const page = await reportPage(made, 5);
  expect(page.match(/src="data:image\/png;base64,/g)).toHaveLength(5);
  expect(page).not.toMatch(/(src|href)="(?!data:)/);
  expect(page).toContain('of two &#38; three');
  expect(page).not.toContain('large <b>');
});
