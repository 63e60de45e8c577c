// What each way to compute attention costs on this CPU: the figures behind the choice in src/nn/attention.ts.
//   node bench/attention.mjs [--threads 2] [--only demo] [--seconds 0.4] [--cpu]
// `--cpu` counts the processor's time instead of the clock's, on one thread: for a machine that does other work meanwhile.
// Every way starts from [B, L, H·D] projections and ends there, so the copies that a layout forces are part of its time.
import { parseArgs } from 'node:util';
import {
  callOperator,
  dropout,
  empty,
  full,
  noGrad,
  ones,
  randn,
  scaledDotProductAttention,
  scope,
  setThreads,
  zeros,
} from 'blip2';

const { values: options } = parseArgs({
  options: {
    threads: { type: 'string', default: '2' },
    only: { type: 'string', default: '' },
    seconds: { type: 'string', default: '0.4' },
    cpu: { type: 'boolean', default: false },
  },
});
setThreads(options.cpu ? 1 : Number(options.threads));

/** Milliseconds. */
function now() {
  if (!options.cpu) return performance.now();
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const CASES = [
  { name: 'demo OPT, training', B: 64, H: 4, Lq: 20, Lk: 20, D: 32, mask: true, dropouts: [0, 0.1] },
  { name: 'demo OPT, training, causal flag', B: 64, H: 4, Lq: 20, Lk: 20, D: 32, causal: true, dropouts: [0, 0.1] },
  { name: 'demo OPT, batch 1', B: 1, H: 4, Lq: 20, Lk: 20, D: 32, mask: true, dropouts: [0, 0.1] },
  { name: 'demo ViT', B: 64, H: 4, Lq: 17, Lk: 17, D: 32, dropouts: [0] },
  { name: 'demo Q-Former, self', B: 64, H: 4, Lq: 8, Lk: 8, D: 32, dropouts: [0, 0.1] },
  { name: 'demo Q-Former, cross', B: 64, H: 4, Lq: 8, Lk: 17, D: 32, dropouts: [0, 0.1] },
  { name: 'base Q-Former, self', B: 32, H: 12, Lq: 32, Lk: 32, D: 64, dropouts: [0, 0.1] },
  { name: 'base Q-Former, cross', B: 32, H: 12, Lq: 32, Lk: 257, D: 64, dropouts: [0, 0.1] },
  { name: 'ViT-g', B: 8, H: 16, Lq: 257, Lk: 257, D: 88, dropouts: [0] },
  { name: 'decode step, demo, 5 beams', B: 5, H: 4, Lq: 1, Lk: 50, D: 32, mask: true, dropouts: [0], inference: true },
  { name: 'decode step, OPT-125m, 5 beams', B: 5, H: 12, Lq: 1, Lk: 50, D: 64, mask: true, dropouts: [0], inference: true },
  { name: 'decode step, beams as queries', B: 1, H: 12, Lq: 5, Lk: 50, D: 64, mask: true, dropouts: [0], inference: true },
  { name: 'prefill, OPT-125m', B: 1, H: 12, Lq: 36, Lk: 36, D: 64, causal: true, dropouts: [0], inference: true },
];

/** A mask that forbids what comes later, as numbers to add. */
const causalMask = (q, k) => ones([q, k], { dtype: 'bool' }).tril(k - q);
const additive = (allowed, dtype) => zeros(allowed.shape, { dtype }).maskedFill(allowed.logicalNot(), Number.NEGATIVE_INFINITY);

/**
 * Dropout that draws 16 bits an element, four from each number of the generator. libtorch's own takes a whole 64-bit number for each, and on
 * other than Intel processors on one thread. The probability is rounded to a multiple of 2^-16; the factor is exact for it.
 */
const shortDropout = (x, p) => {
  const cut = Math.round(p * 65536);
  const bits = callOperator('random_.from', empty([Math.ceil(x.numel / 4)], { dtype: 'int64' }), -(2n ** 63n), null);
  const words = callOperator('view.dtype', bits, 'int16')
    .narrow(0, 0, x.numel)
    .view(...x.shape);
  const scale = full([], 65536 / (65536 - cut), { dtype: x.dtype });
  return x.mul(callOperator('where.ScalarOther', words.ge(cut - 32768), scale, 0));
};

const nativeDropout = (x, p) => callOperator('native_dropout', x, p, true)[0];

/** The explicit way; `drop` is how weights are dropped. */
const explicit =
  (drop) =>
  (q, k, v, { add, p, scale }) => {
    let scores = q.mul(scale).matmul(k.transpose(-2, -1));
    if (add !== null) scores = scores.add(add);
    const weights = scores.softmax(-1);
    return (p > 0 ? drop(weights, p) : weights).matmul(v);
  };

/** The same on three dimensions, with scale and mask inside the product. */
const batched =
  (drop) =>
  (q, k, v, { add, p, scale }) => {
    const [B, H, Lq, D] = q.shape;
    const Lk = k.size(2);
    const [a, b, c] = [q.reshape(B * H, Lq, D), k.reshape(B * H, Lk, D), v.reshape(B * H, Lk, D)];
    const base = add ?? zeros([1], { dtype: q.dtype });
    const weights = base.baddbmm(a, b.transpose(1, 2), add === null ? 0 : 1, scale).softmax(-1);
    return (p > 0 ? drop(weights, p) : weights).bmm(c).view(B, H, Lq, D);
  };

const WAYS = {
  fused: (q, k, v, { mask, causal, p }) => scaledDotProductAttention(q, k, v, { mask, causal, dropout: p }),
  'fused, mask as numbers': (q, k, v, { add, given, p }) =>
    given ? scaledDotProductAttention(q, k, v, { mask: add, dropout: p }) : null,
  math: (q, k, v, { mask, causal, p }) =>
    callOperator('_scaled_dot_product_attention_math', q, k, v, mask, p, causal, null, null, false)[0],
  explicit: explicit(dropout),
  'explicit, native dropout': (q, k, v, o) => (o.p > 0 ? explicit(nativeDropout)(q, k, v, o) : null),
  'explicit, 16-bit dropout': (q, k, v, o) => (o.p > 0 ? explicit(shortDropout)(q, k, v, o) : null),
  batched: batched(dropout),
  'batched, native dropout': (q, k, v, o) => (o.p > 0 ? batched(nativeDropout)(q, k, v, o) : null),
  'batched, 16-bit dropout': (q, k, v, o) => (o.p > 0 ? batched(shortDropout)(q, k, v, o) : null),
};

/** Least time of each function, in turns, in microseconds. */
function race(functions, seconds) {
  const best = functions.map(() => Number.POSITIVE_INFINITY);
  const rounds = functions.map((run) => {
    const start = now();
    for (let i = 0; i < 3; i++) run();
    return Math.max(1, Math.round(((seconds * 1000) / 12) * (3 / (now() - start))));
  });
  for (let turn = 0; turn < 12; turn++) {
    functions.forEach((run, i) => {
      const start = now();
      for (let n = 0; n < rounds[i]; n++) run();
      best[i] = Math.min(best[i], (now() - start) / rounds[i]);
    });
  }
  return best.map((ms) => ms * 1000);
}

for (const { name, B, H, Lq, Lk, D, mask = false, causal = false, dropouts, inference = false } of CASES) {
  if (!name.includes(options.only)) continue;
  for (const dtype of ['float32', 'bfloat16']) {
    for (const p of dropouts) {
      console.log(
        `\n${name}: B${B} H${H} Lq${Lq} Lk${Lk} D${D} ${dtype} dropout ${p}${mask ? ' mask' : ''}${causal ? ' causal' : ''}`,
      );
      scope(() => {
        const [x, y, z] = [Lq, Lk, Lk].map((L) => randn([B, L, H * D], { dtype }));
        const upstream = randn([B, Lq, H * D], { dtype });
        const allowed = mask || causal ? causalMask(Lq, Lk) : null;
        const add = allowed === null ? null : additive(allowed, dtype);
        const settings = { mask: mask ? allowed : null, add, causal, given: mask, p, scale: D ** -0.5 };
        const heads = (t) => t.view(B, t.size(1), H, D).transpose(1, 2);
        const forward = (way) => {
          const out = way(heads(x), heads(y), heads(z), settings);
          return out === null ? null : out.transpose(1, 2).reshape(B, Lq, H * D);
        };
        const names = Object.keys(WAYS).filter((key) => scope(() => noGrad(() => forward(WAYS[key]) !== null)));
        const inferring = names.map((key) => () => scope(() => noGrad(() => void forward(WAYS[key]))));
        const training = names.map(
          (key) => () =>
            scope(() => {
              forward(WAYS[key]).backward(upstream);
              for (const t of [x, y, z]) t.grad = null;
            }),
        );
        const plain = race(inferring, Number(options.seconds));
        for (const t of [x, y, z]) t.requiresGrad_();
        const both = inference ? [] : race(training, Number(options.seconds));
        names.forEach((key, i) => {
          const cell = (us) => `${us.toFixed(0).padStart(8)} µs`;
          console.log(
            `  ${key.padEnd(26)}${cell(plain[i])} forward${both.length > 0 ? `${cell(both[i])} forward + backward` : ''}`,
          );
        });
      });
    }
  }
}
