import { PICTURE_BYTES } from '../../emoji/draw.ts';
import type { Item, Row, Section } from '../../report/section.ts';
import { rankingsOf, recallAt1, type Search } from '../retrieval.ts';
import type { Gallery } from '../scenes.ts';

const SHOWN = 5;
type Way = 'imageToText' | 'textToImage';

/** A search's R@1 in words. */
export function recallLine(search: Search): string {
  const { kind, captions } = search.gallery;
  const each = rankingsOf(search).map(([words, { imageToText, textToImage }]) => {
    return `${words} ${recallAt1(imageToText).toFixed(1)} % / ${recallAt1(textToImage).toFixed(1)} %`;
  });
  return `${kind}, ${captions.length} scenes, R@1 picture to text / text to picture: ${each.join(', ')}`;
}

/** Recalls of all searches. */
export function recallTable(searches: readonly Search[]): Section {
  const count = searches[0]?.gallery.captions.length ?? 0;
  return {
    kind: 'table',
    title: 'Retrieval',
    note: `${count} held-out scenes of each kind, all with different captions. Each picture looks for its text among all texts, and each text for its picture. R@k: the share, in percent, that finds it among the first k.`,
    head: ['', 'picture to text R@1', 'R@5', 'R@10', 'text to picture R@1', 'R@5', 'R@10'],
    rows: searches.flatMap((search) =>
      rankingsOf(search).map(([words, { imageToText, textToImage }]) => [
        `${search.gallery.kind}, ${words}`,
        ...[...imageToText.recall([1, 5, 10]), ...textToImage.recall([1, 5, 10])].map((value) => value.toFixed(1)),
      ]),
    ),
  };
}

/** Some queries of a search, both ways, with their five best matches, right and wrong. */
export function matchSections(search: Search, queries: number): Section[] {
  const { kind } = search.gallery;
  const which = `The first ${queries} queries as they come, then the first ${queries} others whose best match is wrong, as far as there are any.`;
  return [
    {
      kind: 'rows',
      title: `Text to picture, ${kind}`,
      note: `Five best matches by contrast, best first, the right one framed in green. ${which}`,
      rows: shown(search, 'textToImage', queries),
    },
    {
      kind: 'rows',
      title: `Picture to text, ${kind}`,
      note: `Five best matches by contrast, best first, the right one in green. ${which}`,
      rows: shown(search, 'imageToText', queries),
    },
  ];
}

/** Rows without a picture of OpenMoji, whose licence would bind the report. */
function shown({ gallery, result }: Search, way: Way, queries: number): Row[] {
  const ranking = result.contrast[way];
  const best = Array.from({ length: ranking.queries }, (_, query) => ranking.best(query, SHOWN));
  const free = [...best.keys()].filter((query) => {
    const pictures = way === 'imageToText' ? [query] : (best[query] ?? []).map(({ index }) => index);
    return pictures.every((picture) => gallery.scenes[picture]?.set !== 'openmoji');
  });
  const first = free.slice(0, queries);
  const wrong = free.filter((query) => best[query]?.[0]?.correct === false && !first.includes(query)).slice(0, queries);
  const [asked, found] = way === 'imageToText' ? [pictureOf, textOf] : [textOf, pictureOf];
  return [...first, ...wrong].map((query) => ({
    query: [asked(gallery, query)],
    found: (best[query] ?? []).map(({ index, correct }) => ({ ...found(gallery, index), mark: correct ? 'right' : 'quiet' })),
  }));
}

/** A caption of a gallery. */
export function textOf({ captions }: Gallery, at: number): Item {
  return { text: captions[at] ?? '' };
}

/** A picture of a gallery. */
export function pictureOf({ pixels }: Gallery, at: number): Item {
  return { pixels: pixels.subarray(at * PICTURE_BYTES, (at + 1) * PICTURE_BYTES) };
}
