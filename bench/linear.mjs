// x·Wᵀ + b without gradients: libtorch's own operator (MKL) against oneDNN's over the same weights, in microseconds of processor time. What
// src/tensor/ops/linear.ts decides by. `node bench/linear.mjs [threads]`
import { callOperator, noGrad, randn, scope, setThreads } from 'blip2';

setThreads(Number(process.argv[2] ?? 1));

const ways = {
  linear: (x, weight, bias) => callOperator('linear', x, weight, bias),
  oneDNN: (x, weight, bias) => callOperator('mkldnn::_linear_pointwise', x, weight, bias, 'none', [], ''),
};

/** The median of five measurements. */
function microseconds(body, times) {
  const all = Array.from({ length: 5 }, () => {
    const before = process.cpuUsage();
    for (let i = 0; i < times; i++) scope(() => void body());
    const { user, system } = process.cpuUsage(before);
    return (user + system) / times;
  });
  return all.sort((a, b) => a - b)[2];
}

for (const rows of [1, 5, 40, 200]) {
  for (const [width, out] of [
    [128, 512],
    [512, 512],
    [768, 768],
    [768, 3072],
    [768, 50304],
  ]) {
    noGrad(() =>
      scope(() => {
        // More weights than the caches hold, as in a model.
        const weights = Array.from({ length: Math.max(1, Math.floor(2e7 / (width * out))) }, () => randn([out, width]));
        const [x, bias] = [randn([rows, width]), randn([out])];
        const times = Math.max(weights.length, Math.ceil(2e9 / (rows * width * out)));
        const figures = Object.entries(ways).map(([name, multiply]) => {
          let turn = 0;
          const body = () => multiply(x, weights[turn++ % weights.length], bias);
          body();
          return `${name} ${microseconds(body, Math.ceil(times / 5)).toFixed(0)}`;
        });
        console.log(`${rows} × ${width} → ${out}: ${figures.join(', ')}`);
      }),
    );
  }
}
