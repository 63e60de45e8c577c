import { figureNames } from '../../emoji/figures.ts';
import type { Section } from '../../report/section.ts';
import type { Captioned } from '../captions.ts';
import { pictureOf } from './retrieval.ts';

/** The shares of captions that are right. */
export function captionTable(title: string, results: readonly Captioned[]): Section {
  return {
    kind: 'table',
    title,
    note: 'Held-out scenes; right, in percent.',
    head: ['', 'pictures', ...figureNames],
    rows: results.map(({ gallery, given, figures }) => [
      gallery.kind,
      String(given.length),
      ...figureNames.map((name) => figures[name].toFixed(1)),
    ]),
  };
}

/** The first pictures with their true and given captions. */
export function captionRows(title: string, result: Captioned, pictures: number): Section {
  return {
    kind: 'rows',
    title: `${title}, ${result.gallery.kind}`,
    note: 'The first pictures as they come: the true caption in grey, the given one below it, what is wrong in red.',
    rows: firstOf(result, pictures),
  };
}

/** OpenMoji's pictures are left out, since its licence would bind the report. */
function firstOf({ gallery, given }: Captioned, count: number) {
  const free = [...gallery.scenes.keys()].filter((i) => gallery.scenes[i]?.set !== 'openmoji').slice(0, count);
  return free.map((i) => {
    const [truth, said] = [gallery.captions[i] ?? '', given[i] ?? ''];
    const words = new Set(truth.split(' '));
    const wrongWords = said.split(' ').map((word) => !words.has(word));
    return {
      query: [pictureOf(gallery, i)],
      found: [
        { text: truth, mark: 'quiet' as const },
        { text: said, mark: 'right' as const, wrongWords },
      ],
    };
  });
}
