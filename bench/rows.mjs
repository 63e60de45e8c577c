// The rows: what runs, what is compared, and the goal. A ratio is ours over theirs, of times (to be small) or of rates (to be large).

/** Rows whose two sides run in turns, in processes that stay: `ours/<script>.mjs` against `peer/<script>.py`. */
const turns = (key, title, script, settings, unit, goal, agree, more = {}) => ({
  kind: 'turns',
  key,
  title,
  script,
  settings,
  unit,
  better: 'more',
  goal,
  agree,
  ...more,
});

const sameLoss = (ours, theirs) => {
  if (ours.parameters !== theirs.parameters) return `${ours.parameters} parameters against ${theirs.parameters}`;
  const gap = Math.abs(ours.loss - theirs.loss);
  return gap <= 1e-5 * Math.max(1, theirs.loss) ? '' : `loss ${ours.loss} against ${theirs.loss}`;
};
const sameIds = (ours, theirs) =>
  JSON.stringify(ours.ids) === JSON.stringify(theirs.ids)
    ? ''
    : `ids ${JSON.stringify(ours.ids)} against ${JSON.stringify(theirs.ids)}`;
const sameSum = (ours, theirs) =>
  ours.values === theirs.values && Math.abs(ours.sum - theirs.sum) < 1e-3 * ours.values
    ? ''
    : `sum ${ours.sum} against ${theirs.sum}`;

// What is cropped is drawn at random, so only the amount and the mean can be compared.
const alike = (ours, theirs) =>
  ours.values === theirs.values && Math.abs(ours.mean - theirs.mean) < 0.02 ? '' : `mean ${ours.mean} against ${theirs.mean}`;

/** One call on tensors so small that nearly all of it is the way to the kernel and back; all four come from one run of micro. */
const micro = (key, title, name, goal) => ({ kind: 'micro', key, title, name, unit: 'ns', better: 'less', goal });

const train = (key, title, settings, goal, more) =>
  turns(key, `${title}, forward + backward + AdamW`, 'train', settings, 'steps/s', goal, sameLoss, more);
const captions = (key, title, model, newTokens, check, goal, more) =>
  turns(key, title, 'captions', { model, beams: 5, newTokens, check }, 'tokens/s', goal, sameIds, more);
const pictures = (key, title, picture, goal) =>
  turns(key, title, 'pictures', { picture, side: 224, threads: 1 }, 'pictures/s', goal, sameSum, { oneCore: true });

export const rows = [
  micro('add', '8-element add, in a scope', 'add in scope', 0.75),
  micro('add-outside', '8-element add, outside scopes', 'add outside', 1.05),
  micro('view', 'view, in a scope', 'view in scope', 1.0),
  micro('chain', 'chain of 20 mixed small ops', 'chain of 20 mixed small ops', 0.8),
  train('demo-1', 'demo model, batch 1', { model: 'demo', batch: 1 }, 1.3),
  train('demo-64', 'demo model, batch 64', { model: 'demo', batch: 64 }, 1.05),
  train('qformer', 'base Q-Former over ViT-g features, batch 8', { model: 'qformer', batch: 8 }, 0.97, { rounds: 7 }),
  captions('captions-demo', 'beam-5 captions, demo model', 'demo', 20, 8, 3),
  captions('captions-opt', 'beam-5 captions, OPT-125m size', 'opt-125m', 20, 2, 1.1, { rounds: 7 }),
  pictures('picture-640', 'picture to tensor, one core, 640 × 480', '640x480.jpg', 1.2),
  pictures('picture-2048', 'picture to tensor, one core, 2048 × 1365', '2048x1365.jpg', 1.8),
  turns(
    'webdataset',
    'WebDataset of 640 × 480 JPEGs to training batches of 32, one core',
    'shards',
    { batch: 32, side: 224, buffer: 100, threads: 1 },
    'pictures/s',
    1.25,
    alike,
    { oneCore: true },
  ),
  { kind: 'start', key: 'start', title: 'cold start to a first caption', field: 'seconds', unit: 's', better: 'less', goal: 0.3 },
  { kind: 'start', key: 'memory', title: 'peak RSS, demo model', field: 'mebibytes', unit: 'MiB', better: 'less', goal: 0.6 },
];

/** Rows whose key starts with one of the given words; all of them without any. Where a word is no row's, the message that says so. */
export function choose(words) {
  const unknown = words.filter((word) => !rows.some(({ key }) => key.startsWith(word)));
  if (unknown.length > 0) return `no row ${unknown.join(', ')}; there are ${rows.map(({ key }) => key).join(', ')}`;
  return words.length === 0 ? rows : rows.filter(({ key }) => words.some((word) => key.startsWith(word)));
}
