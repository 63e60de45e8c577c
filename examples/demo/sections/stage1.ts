import { type EmojiScenes, heldOutKinds } from '../../emoji/dataset.ts';
import type { Section } from '../../report/section.ts';
import { type Captioned, captioned } from '../captions.ts';
import { type Search, search } from '../retrieval.ts';
import { galleryOf } from '../scenes.ts';
import type { TrainedStage1 } from '../stage1.ts';
import { captionRows, captionTable } from './captions.ts';
import { matchSections, recallLine, recallTable } from './retrieval.ts';
import { stage1TrainingSections } from './training.ts';

const TITLE = 'Captions of the first stage';

/** A part of the report, for the page and, with fewer examples, for the sheet. */
export interface ReportPart {
  readonly page: readonly Section[];
  readonly sheet: readonly Section[];
}

/** What the first stage's model can do with held-out scenes: find them, and caption them itself. */
export async function stage1Report(stage1: TrainedStage1, data: EmojiScenes, pictures: number): Promise<ReportPart> {
  const searches: Search[] = [];
  const captions: Captioned[] = [];
  for (const kind of heldOutKinds) {
    const gallery = galleryOf(data, kind, pictures);
    const found = await search(stage1, gallery);
    const given = await captioned(stage1, gallery);
    const { exact, concept } = given.figures;
    console.log(recallLine(found));
    console.log(`${kind}, the first stage's own captions: exact ${exact.toFixed(1)} %, concept ${concept.toFixed(1)} %`);
    searches.push(found);
    captions.push(given);
  }
  const sections = (queries: number, rows: number): Section[] => [
    ...stage1TrainingSections(stage1),
    recallTable(searches),
    captionTable(TITLE, captions),
    ...searches.flatMap((one) => matchSections(one, queries)),
    ...captions.map((one) => captionRows(TITLE, one, rows)),
  ];
  return { page: sections(8, 16), sheet: sections(2, 3) };
}
