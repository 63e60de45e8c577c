import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setThreads, type Tensor } from 'blip2';
import sharp from 'sharp';
import { captioned } from '../../examples/demo/captions.ts';
import { rankingsOf, recallAt1, search } from '../../examples/demo/retrieval.ts';
import { captionedScenes, galleryOf } from '../../examples/demo/scenes.ts';
import { captionRows, captionTable } from '../../examples/demo/sections/captions.ts';
import { matchSections, recallTable } from '../../examples/demo/sections/retrieval.ts';
import { disposeStage1, loadStage1, trainStage1 } from '../../examples/demo/stage1.ts';
import { demoStage1 } from '../../examples/demo/stage1-recipe.ts';
import { makeQFormerTokenizer, qformerVocabulary, specialId } from '../../examples/demo/words.ts';
import { concepts } from '../../examples/emoji/concepts.ts';
import { EmojiScenes, heldOutKinds } from '../../examples/emoji/dataset.ts';
import { VISION_WEIGHTS } from '../../examples/encoders/vision/weights.ts';
import { thinned } from '../../examples/report/curves.ts';
import { reportPage } from '../../examples/report/page.ts';
import type { Report } from '../../examples/report/section.ts';
import { reportSheet } from '../../examples/report/sheet.ts';

const few = concepts.slice(0, 4);
const choices = { steps: 40, batchSize: 16, rate: 2e-3, weightDecay: 0.05, seed: 0 };
let folder: string;
beforeAll(() => {
  setThreads(1);
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-stage1-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

test('every word of a caption is one token between [CLS] and [SEP], and [DEC] is the last of all', async () => {
  const tokenizer = await makeQFormerTokenizer(path.join(folder, 'words'), few);
  const text = 'a large sailboat in the bottom right on an orange background';
  const [ids = []] = tokenizer.encode([text]).inputIds as number[][];
  expect(ids).toHaveLength(2 + text.split(' ').length);
  expect([ids[0], ids.at(-1)]).toEqual([specialId('[CLS]'), specialId('[SEP]')]);
  expect(ids).not.toContain(specialId('[UNK]'));
  expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(text);
  expect(tokenizer.tokenToId('[DEC]')).toBe(qformerVocabulary(few).length - 1);
  expect(tokenizer.vocabSize).toBe(qformerVocabulary(few).length);
});

test('batches follow one another, and scenes with the same caption have the same id', async () => {
  const data = await EmojiScenes.load(few);
  const open = captionedScenes(data, 200);
  const stream = await open();
  await stream.next();
  const state = stream.state();
  const { value } = (await stream.next()) as { value: { captions: string[]; imageIds: Tensor; pixelValues: Tensor } };
  const again = (await (await open(state)).next()) as { value: { captions: string[] } };
  expect(again.value.captions).toEqual(value.captions);
  const ids = value.imageIds.toArray() as number[];
  expect(new Set(value.captions).size).toBeLessThan(200);
  expect(new Set(ids).size).toBe(new Set(value.captions).size);
  for (const [i, caption] of value.captions.entries()) expect(ids[i]).toBe(ids[value.captions.indexOf(caption)]);
});

test('a gallery has held-out scenes with captions that are all different', async () => {
  const data = await EmojiScenes.load(few);
  const { captions, scenes, pixels } = galleryOf(data, 'new combinations', 40);
  expect(new Set(captions).size).toBe(40);
  expect(scenes).toHaveLength(40);
  for (const scene of scenes) expect(data.isKeptOut(scene)).toBe(true);
  const [first] = galleryOf(data, 'new combinations', 1).captions;
  expect(captions[0]).toBe(first);
  expect(pixels.length).toBe(40 * 64 * 64 * 3);
});

test('a short first stage learns, searches, captions, reports, and is read back', async () => {
  const data = await EmojiScenes.load(few);
  const directory = path.join(folder, 'run');
  const stage1 = await trainStage1(demoStage1(few, { ...choices, itg: true }), data, {
    directory,
    vision: VISION_WEIGHTS,
    quiet: true,
  });
  const lossAt = (at: number): number => stage1.curve.at(at)?.losses.loss as number;
  expect(stage1.curve).toHaveLength(40);
  expect(lossAt(-1)).toBeLessThan(0.7 * lossAt(0));
  expect(Object.keys(stage1.curve[0]?.losses ?? {}).sort()).toEqual(['itc', 'itg', 'itm', 'loss']);
  expect(fs.readFileSync(path.join(directory, 'log.jsonl'), 'utf8').split('\n')).toHaveLength(41);
  expect(fs.readdirSync(directory).some((name) => name.startsWith('events.out.tfevents'))).toBe(true);

  const gallery = galleryOf(data, 'new combinations', 30);
  const found = await search(stage1, gallery);
  expect(rankingsOf(found).map(([words]) => words)).toEqual(['by contrast', 're-ranked by matching']);
  const { contrast } = found.result;
  const first = contrast.imageToText.best(0, 5);
  expect(first).toHaveLength(5);
  expect(recallAt1(contrast.imageToText)).toBeCloseTo(
    (100 * [...Array(30).keys()].filter((i) => contrast.imageToText.rankOf(i) === 0).length) / 30,
  );
  const given = await captioned(stage1, gallery);
  expect(given.given).toHaveLength(30);
  for (const caption of given.given) expect(caption).toMatch(/^[a-z -]+$/);

  const report: Report = {
    title: 'A test',
    summary: 'of <two> & three',
    sections: [
      recallTable([found]),
      ...matchSections(found, 2),
      captionTable('Captions', [given]),
      captionRows('Captions', given, 3),
      {
        kind: 'curves',
        title: 'Losses',
        xName: 'step',
        yName: 'loss',
        curves: [
          {
            name: 'ITC',
            points: [
              [0, 1],
              [1, 0.5],
            ],
          },
        ],
      },
      { kind: 'text', title: 'Nothing', note: 'more' },
    ],
  };
  const page = await reportPage(report);
  expect(page).toContain('of &#60;two&#62; &#38; three');
  expect(page).not.toMatch(/(src|href)="(?!data:)/);
  expect(page).toContain(`<td>new combinations, by contrast</td><td>${recallAt1(contrast.imageToText).toFixed(1)}</td>`);
  expect(page).toContain('<svg');
  const { format, width } = await sharp(await reportSheet(report)).metadata();
  expect({ format, width }).toEqual({ format: 'png', width: 1000 });

  const read = loadStage1(directory, VISION_WEIGHTS);
  expect((await captioned(read, gallery)).given).toEqual(given.given);
  disposeStage1(read);
  disposeStage1(stage1);
});

test('without ITG nothing is generated from, and equal seeds give equal losses', async () => {
  const data = await EmojiScenes.load(few);
  const curveOf = async (seed: number) => {
    const recipe = demoStage1(few, { ...choices, steps: 3, seed, itg: false });
    const stage1 = await trainStage1(recipe, data, {
      directory: path.join(folder, 'without'),
      vision: VISION_WEIGHTS,
      quiet: true,
    });
    disposeStage1(stage1);
    return stage1.curve.map(({ losses }) => losses);
  };
  const first = await curveOf(1);
  expect(Object.keys(first[0] ?? {}).sort()).toEqual(['itc', 'itm', 'loss']);
  expect(await curveOf(1)).toEqual(first);
  expect(await curveOf(2)).not.toEqual(first);
});

test('no picture of OpenMoji is shown, and rows are taken as they come', async () => {
  const data = await EmojiScenes.load(few);
  for (const kind of heldOutKinds) {
    const gallery = galleryOf(data, kind, 30);
    const given = gallery.captions.map((caption, i) => (i % 2 === 0 ? caption : caption.replace('a', 'the')));
    const section = captionRows(
      'Captions',
      { gallery, given, figures: { exact: 0, size: 0, concept: 0, place: 0, colour: 0 } },
      10,
    );
    if (section.kind !== 'rows') throw new Error(section.kind);
    const free = gallery.captions.filter((_, i) => gallery.scenes[i]?.set !== 'openmoji').slice(0, 10);
    const truths = section.rows.map(({ found }) => (found[0] as { text: string }).text);
    expect(truths).toEqual(free);
  }
});

test('a long curve is thinned by means', () => {
  const points = Array.from({ length: 1000 }, (_, i) => [i, i % 2] as const);
  const thin = thinned(points, 100);
  expect(thin).toHaveLength(100);
  expect(thin[0]).toEqual([4.5, 0.5]);
  expect(
    thinned([
      [0, Number.NaN],
      [1, 2],
    ]),
  ).toEqual([[1, 2]]);
});
