// Pairs of a picture and a text that stand among the first K candidates of either are matched, each once, picture by picture.
import type { CrossKeyValues, KeyValue, SharedPictures } from '../../models/index.ts';
import { keep, type Tensor } from '../../tensor/index.ts';
import type { RetrievalModel } from './model.ts';
import type { RetrievalSettings } from './options.ts';
import type { RowStore } from './row-store.ts';
import type { Contrasted } from './similarities.ts';
import { chosen, type EncodedTexts } from './texts.ts';
import type { Work } from './work.ts';

/** One direction's candidates that are to be matched: the first `matched` of each query, and room for their logits, row by row. */
interface Direction {
  readonly ranked: Contrasted;
  readonly depth: number;
  readonly matched: number;
  readonly logits: Float32Array;
}

function direction(ranked: Contrasted, queries: number, topK: number): Direction {
  const depth = ranked.candidates.length / queries;
  const matched = Math.min(topK, depth);
  return { ranked, depth, matched, logits: new Float32Array(queries * matched) };
}

/** Where logits go: of every picture, the places in a direction's table, and the texts that belong there. */
interface Places {
  /** Picture i has the entries from `starts[i]` up to `starts[i + 1]`. */
  readonly starts: Int32Array;
  readonly texts: Int32Array;
  readonly places: Int32Array;
}

/** The places that texts have given to pictures, sorted by picture. */
function placesOf({ ranked, depth, matched }: Direction, pictures: number): Places {
  const queries = ranked.candidates.length / depth;
  const starts = new Int32Array(pictures + 1);
  const each = (visit: (picture: number, text: number, place: number) => void): void => {
    for (let text = 0; text < queries; text++) {
      for (let rank = 0; rank < matched; rank++) {
        visit(ranked.candidates[text * depth + rank] as number, text, text * matched + rank);
      }
    }
  };
  each((picture) => {
    starts[picture + 1] = (starts[picture + 1] as number) + 1;
  });
  for (let i = 0; i < pictures; i++) starts[i + 1] = (starts[i + 1] as number) + (starts[i] as number);
  const next = starts.slice();
  const texts = new Int32Array(queries * matched);
  const places = new Int32Array(queries * matched);
  each((picture, text, place) => {
    const at = next[picture] as number;
    next[picture] = at + 1;
    texts[at] = text;
    places[at] = place;
  });
  return { starts, texts, places };
}

/** A picture and texts that it is matched with, each once, the shorter ones first. */
interface Asked {
  readonly picture: number;
  readonly texts: readonly number[];
}

/** The matching head's logits of the first candidates in both directions. */
export async function match(
  model: RetrievalModel,
  pictures: RowStore,
  texts: EncodedTexts,
  ranked: { imageToText: Contrasted; textToImage: Contrasted },
  settings: RetrievalSettings,
  work: Work,
): Promise<{ imageToText: Direction; textToImage: Direction }> {
  const { topK } = settings;
  const imageToText = direction(ranked.imageToText, pictures.count, topK);
  const textToImage = direction(ranked.textToImage, texts.lengths.length, topK);
  const back = placesOf(textToImage, pictures.count);
  const pairsOf = (picture: number): Set<number> => {
    const { matched, depth } = imageToText;
    const forward = imageToText.ranked.candidates.subarray(picture * depth, picture * depth + matched);
    return new Set([...forward, ...back.texts.subarray(back.starts[picture], back.starts[picture + 1])]);
  };
  const textsOf = (picture: number): number[] => {
    return [...pairsOf(picture)].sort((a, b) => (texts.lengths[a] as number) - (texts.lengths[b] as number) || a - b);
  };
  const settle = (picture: number, logits: ReadonlyMap<number, number>): void => {
    const { matched, depth } = imageToText;
    for (let rank = 0; rank < matched; rank++) {
      const text = imageToText.ranked.candidates[picture * depth + rank] as number;
      imageToText.logits[picture * matched + rank] = logits.get(text) as number;
    }
    for (let at = back.starts[picture] as number; at < (back.starts[picture + 1] as number); at++) {
      textToImage.logits[back.places[at] as number] = logits.get(back.texts[at] as number) as number;
    }
  };
  let total = 0;
  for (let picture = 0; picture < pictures.count; picture++) total += pairsOf(picture).size;
  let done = 0;
  let group: Asked[] = [];
  let size = 0;
  for (let picture = 0; picture < pictures.count; picture++) {
    group.push({ picture, texts: textsOf(picture) });
    size += group.at(-1)?.texts.length ?? 0;
    if (size < settings.matchBatch && group.length < GROUP && picture + 1 < pictures.count) continue;
    await matchGroup(model, pictures, texts, group, settings.matchBatch, work, settle);
    done += size;
    work.report('matching', done, total);
    group = [];
    size = 0;
  }
  return { imageToText, textToImage };
}

/** Pictures whose keys and values are in memory at the same time. */
const GROUP = 16;

/** Matches pictures that follow one another with their texts, at most `most` pairs at a time. */
async function matchGroup(
  model: RetrievalModel,
  pictures: RowStore,
  texts: EncodedTexts,
  group: readonly Asked[],
  most: number,
  work: Work,
  settle: (picture: number, logits: ReadonlyMap<number, number>) => void,
): Promise<void> {
  const first = group[0]?.picture as number;
  const keyValues = await work.step(() => {
    const made = model.imageKeyValues(pictures.read(first, group.length).to({ device: work.device }));
    for (const tensor of tensorsOf(made)) keep(tensor);
    return made;
  });
  try {
    const pairs = group.flatMap(({ texts: own }, i) => own.map((text) => ({ picture: i, text })));
    const logits = group.map(() => new Map<number, number>());
    for (let at = 0; at < pairs.length; at += most) {
      const some = pairs.slice(at, at + most);
      const values = await work.step(() => {
        const { inputIds, lengths } = chosen(
          texts,
          some.map(({ text }) => text),
        );
        const sharedPictures = shares(keyValues, some);
        return model.match({ sharedPictures }, inputIds, undefined, { lengths }).select(1, 1).float().data() as Float32Array;
      });
      for (const [i, { picture, text }] of some.entries()) logits[picture]?.set(text, values[i] as number);
    }
    for (const [i, { picture }] of group.entries()) settle(picture, logits[i] as Map<number, number>);
  } finally {
    for (const tensor of tensorsOf(keyValues)) tensor.dispose();
  }
}

/** How many pairs that follow one another each picture serves; pictures with as many as their neighbours go together. */
function shares(keyValues: CrossKeyValues, pairs: readonly { picture: number }[]): SharedPictures[] {
  const runs: { first: number; count: number; share: number }[] = [];
  let share = 0;
  for (const [i, { picture }] of pairs.entries()) {
    share++;
    if (pairs[i + 1]?.picture === picture) continue;
    const before = runs.at(-1);
    if (before !== undefined && before.share === share && before.first + before.count === picture) before.count++;
    else runs.push({ first: picture, count: 1, share });
    share = 0;
  }
  return runs.map(({ first, count, share: own }) => ({
    keyValues: keyValues.map((layer) => layer && part(layer, first, count)),
    share: own,
  }));
}

function part({ key, value }: KeyValue, first: number, count: number): KeyValue {
  return { key: key.narrow(0, first, count), value: value.narrow(0, first, count) };
}

function tensorsOf(keyValues: CrossKeyValues): Tensor[] {
  return keyValues.flatMap((layer) => (layer === undefined ? [] : [layer.key, layer.value]));
}

/** The candidates in the order of matching logit + cosine for the first ones, which the others follow as they were. */
export function reordered({ ranked, depth, matched, logits }: Direction) {
  const queries = ranked.candidates.length / depth;
  const candidates = ranked.candidates.slice();
  const cosines = ranked.cosines.slice();
  const matching = new Float32Array(logits.length);
  for (let query = 0; query < queries; query++) {
    const from = query * depth;
    const own = query * matched;
    const score = (rank: number): number => Math.fround((logits[own + rank] as number) + (ranked.cosines[from + rank] as number));
    // The order before was by cosine, then by number, and sorting is stable.
    const order = Array.from({ length: matched }, (_, rank) => rank).sort((a, b) => score(b) - score(a));
    for (const [rank, old] of order.entries()) {
      candidates[from + rank] = ranked.candidates[from + old] as number;
      cosines[from + rank] = ranked.cosines[from + old] as number;
      matching[own + rank] = logits[own + old] as number;
    }
  }
  return { candidates, cosines, matching, matched };
}
