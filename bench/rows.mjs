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
/** In float32 alike to the last bits; in the row's precision as far as that goes. */
const sameLosses = (ours, theirs) => {
  const rough = Math.abs(ours.rounded - theirs.rounded);
  return sameLoss(ours, theirs) || (rough <= 1e-2 * theirs.rounded ? '' : `loss ${ours.rounded} against ${theirs.rounded}`);
};
const sameSize = (ours, theirs) =>
  ours.parameters === theirs.parameters ? '' : `${ours.parameters} parameters against ${theirs.parameters}`;
const sameCaption = (ours, theirs) =>
  ours.caption === theirs.caption ? '' : `caption ${JSON.stringify(ours.caption)} against ${JSON.stringify(theirs.caption)}`;
const sameIds = (ours, theirs) =>
  JSON.stringify(ours.ids) === JSON.stringify(theirs.ids)
    ? ''
    : `ids ${JSON.stringify(ours.ids)} against ${JSON.stringify(theirs.ids)}`;
/** In bfloat16 two ways of summing part in the third digit, and with them the ids of beams, but not the best beam's score. */
const sameSizeAndScore = (ours, theirs) => {
  const gap = Math.abs(ours.score - theirs.score);
  return sameSize(ours, theirs) || (gap <= 1e-2 * Math.abs(theirs.score) ? '' : `score ${ours.score} against ${theirs.score}`);
};
const sameTexts = (ours, theirs) =>
  sameIds(ours, theirs) ||
  (JSON.stringify(ours.texts) === JSON.stringify(theirs.texts)
    ? ''
    : `texts ${JSON.stringify(ours.texts)} against ${JSON.stringify(theirs.texts)}`);
const sameSum = (ours, theirs) =>
  ours.values === theirs.values && Math.abs(ours.sum - theirs.sum) < 1e-3 * ours.values
    ? ''
    : `sum ${ours.sum} against ${theirs.sum}`;

// What is cropped is drawn at random, so only the amount and the mean can be compared.
const alike = (ours, theirs) =>
  ours.values === theirs.values && Math.abs(ours.mean - theirs.mean) < 0.02 ? '' : `mean ${ours.mean} against ${theirs.mean}`;

// LAVIS's release adds 1e-4 to every weight, which makes 2.5 % of its draws at this size ones at random.
const drawnAlike = (ours, theirs) => (Math.abs(ours.mean - theirs.mean) < 0.05 ? '' : `mean ${ours.mean} against ${theirs.mean}`);

/** One call on tensors so small that nearly all of it is the way to the kernel and back; all four come from one run of micro. */
const micro = (key, title, name, goal) => ({ kind: 'micro', key, title, name, unit: 'ns', better: 'less', goal });

const train = (key, title, settings, goal, more) =>
  turns(key, `${title}, forward + backward + AdamW`, 'train', settings, 'steps/s', goal, sameLoss, more);
const captions = (key, title, model, newTokens, check, goal, more) =>
  turns(key, title, 'captions', { model, beams: 5, newTokens, check }, 'tokens/s', goal, sameIds, more);
/** Eight pictures together: captions of nothing but the picture, and the paper's zero-shot answers, to questions of eight lengths. */
const eight = (model, words) => ({
  model,
  batch: 8,
  ...(words ? { words } : {}),
  options: words ? { numBeams: 5, maxNewTokens: 10, minNewTokens: 1, lengthPenalty: -1 } : { numBeams: 5, maxNewTokens: 20 },
});
const together = (key, title, model, words, goal, more) =>
  turns(key, `${title}, batch 8`, 'answers', eight(model, words), 'tokens/s', goal, sameIds, more);
/** The same by `Blip2` with workers, from bytes of pixels to texts; the peer is given the pixel values. */
const pooled = (key, title, model, words, goal) =>
  turns(key, `${title}, batch 8, two workers`, 'workers', { ...eight(model, words), workers: 2 }, 'tokens/s', goal, sameTexts);
const pictures = (key, title, picture, goal) =>
  turns(key, title, 'pictures', { picture, side: 224, threads: 1 }, 'pictures/s', goal, sameSum, { oneCore: true });

const start = (key, title, unit, value, goal) => ({
  kind: 'start',
  key,
  title,
  script: 'first_caption',
  settings: { picture: '640x480.jpg' },
  unit,
  better: 'less',
  goal,
  rounds: 5,
  value,
  agree: sameCaption,
});
const stage1 = (key, title, settings, goal) =>
  turns(`stage1-${key}`, `stage 1, ${title}`, 'stage1', { batch: 32, ...settings }, 'pictures/s', goal, sameLosses, {
    rounds: 2,
    once: true,
    needs: 'lavis',
    materials: 'lavis',
  });

const stage2 = (llm, precision, goal) => {
  const title = `stage 2, cached features, ${SIZES[llm]}, ${precision === 'float32' ? 'fp32' : 'bf16'}`;
  const key = `stage2-${llm}-${precision === 'float32' ? 'fp32' : 'bf16'}`;
  const settings = { llm, precision, batch: 32 };
  return turns(key, title, 'stage2', settings, 'pictures/s', goal, sameLosses, {
    rounds: 2,
    once: true,
    needs: 'stage2',
    materials: 'stage2',
  });
};
const stage2Memory = (llm, goal) => ({
  kind: 'start',
  key: `stage2-${llm}-memory`,
  title: `stage 2, cached features, ${SIZES[llm]}, fp32: peak memory above start`,
  script: 'stage2_memory',
  settings: { llm, precision: 'float32', batch: 32, steps: 2 },
  unit: 'MiB',
  better: 'less',
  goal,
  rounds: 1,
  warm: false,
  needs: 'stage2',
  materials: 'stage2',
  value: ({ aboveStartKiB }) => aboveStartKiB / 1024,
  agree: sameSize,
});
/**
 * blip2-opt-2.7b's shapes with random weights, one run for all of its rows. It takes 7.5 GB of disk and of memory, so it runs only where it is
 * named; its checkpoint is made before and removed afterwards.
 */
const fullSize = (key, title, unit, value, goal, more = {}) => ({
  kind: 'start',
  key: `full-size-${key}`,
  title: `blip2-opt-2.7b's shapes, bf16: ${title}`,
  script: 'full_size',
  settings: { beams: 5, newTokens: 20 },
  unit,
  better: 'less',
  goal,
  rounds: 1,
  warm: false,
  named: true,
  needs: 'fullSize',
  materials: 'full-size',
  value,
  agree: sameSizeAndScore,
  ...more,
});
const SIZES = { opt: 'OPT-125m size', t5: 'T5-small size' };

export const rows = [
  micro('add', '8-element add, in a scope', 'add in scope', 0.75),
  micro('add-outside', '8-element add, outside scopes', 'add outside', 1.05),
  micro('view', 'view, in a scope', 'view in scope', 1.0),
  micro('chain', 'chain of 20 mixed small ops', 'chain of 20 mixed small ops', 0.8),
  train('demo-1', 'demo model, batch 1', { model: 'demo', batch: 1 }, 1.3),
  train('demo-64', 'demo model, batch 64', { model: 'demo', batch: 64 }, 1.05),
  train('qformer-1', 'base Q-Former over ViT-g features, batch 1', { model: 'qformer', batch: 1 }, 0.97),
  train('qformer-8', 'base Q-Former over ViT-g features, batch 8', { model: 'qformer', batch: 8 }, 0.97, { rounds: 7 }),
  train('qformer-64', 'base Q-Former over ViT-g features, batch 64', { model: 'qformer', batch: 64 }, 0.97, {
    rounds: 3,
    once: true,
  }),
  captions('captions-demo', 'beam-5 captions, demo model', 'demo', 20, 8, 3),
  captions('captions-opt', 'beam-5 captions, OPT-125m size', 'opt-125m', 20, 2, 1.1, { rounds: 7 }),
  together('batch-captions-demo', 'beam-5 captions, demo model', 'demo', null, 3),
  pooled('batch-captions-demo-workers', 'beam-5 captions, demo model', 'demo', null, null),
  together('batch-captions-opt', 'beam-5 captions, OPT-125m size', 'opt-125m', null, 1.3, { rounds: 7 }),
  together('batch-vqa-demo', 'zero-shot VQA, 5 beams, demo model', 'demo', [8, 50], 3),
  pooled('batch-vqa-demo-workers', 'zero-shot VQA, 5 beams, demo model', 'demo', [8, 50], null),
  together('batch-vqa-opt', 'zero-shot VQA, 5 beams, OPT-125m size', 'opt-125m', [100, 997], 1.3, { rounds: 7 }),
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
  start('start', 'cold start to a first caption', 's', ({ seconds }) => seconds, 0.3),
  start('memory', 'peak RSS, demo model', 'MiB', ({ peakKiB }) => peakKiB / 1024, 0.6),
  stage1('fp32', 'cached features, fp32', { kind: 'features', precision: 'float32' }, 1.5),
  stage1('bf16', 'cached features, bf16 autocast', { kind: 'features', precision: 'bfloat16' }, 1.6),
  stage1('encoder', 'frozen ViT-B/14 in the loop, both bf16', { kind: 'encoder', precision: 'bfloat16' }, 1.25),
  {
    kind: 'start',
    key: 'stage1-memory',
    title: 'stage 1, cached features, bf16 autocast: peak memory above start',
    script: 'stage1_memory',
    settings: { kind: 'features', precision: 'bfloat16', batch: 32, steps: 2 },
    unit: 'MiB',
    better: 'less',
    goal: 0.8,
    rounds: 1,
    warm: false,
    needs: 'lavis',
    materials: 'lavis',
    value: ({ aboveStartKiB }) => aboveStartKiB / 1024,
    agree: sameSize,
  },
  stage2('opt', 'float32', 1.1),
  stage2('opt', 'bfloat16', 1.3),
  stage2Memory('opt', 0.8),
  stage2('t5', 'float32', 1.03),
  stage2('t5', 'bfloat16', 1.2),
  stage2Memory('t5', 0.95),
  fullSize('load', 'time to load', 's', ({ loadSeconds }) => loadSeconds, 1),
  fullSize('memory', 'peak memory above start, against the weights', 'MiB', ({ peakKiB }) => peakKiB / 1024, 1.02, {
    theirs: ({ parameters }) => (2 * parameters) / 2 ** 20,
  }),
  fullSize('caption', 'time of a beam-5 caption of 20 tokens', 's', ({ captionSeconds }) => captionSeconds, 1),
  turns('mining', 'hard negatives, both ways, batch 256', 'mining', { batch: 256 }, 'batches/s', 10, drawnAlike),
];

/**
 * Rows whose key starts with one of the given words; without any, all, but of those that want to be named only with `all`. Where a word is
 * no row's, the message that says so.
 */
export function choose(words, all) {
  const unknown = words.filter((word) => !rows.some(({ key }) => key.startsWith(word)));
  if (unknown.length > 0) return `no row ${unknown.join(', ')}; there are ${rows.map(({ key }) => key).join(', ')}`;
  return words.length === 0
    ? rows.filter(({ named = false }) => all || !named)
    : rows.filter(({ key }) => words.some((word) => key.startsWith(word)));
}
