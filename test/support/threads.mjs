// Loads the addon in four worker threads at a time and ends them in mid-use, round after round; the main thread computes meanwhile.
// Prints how many rounds it did. Run in a process of its own: what is tested is how that ends.
import { Worker } from 'node:worker_threads';
import { memory, ones, randn, scope } from '../../dist/tensor/index.js';

const rounds = Number(process.argv[2]);
const script = new URL('thread-worker.mjs', import.meta.url);
const held = ones([1000]).requiresGrad_(); // alive at the end of the process, with a graph behind it
const graph = scope(() => held.mul(2).sum());
const before = memory().tensors;
for (let round = 0; round < rounds; round++) {
  const workers = Array.from({ length: 4 }, (_, i) => new Worker(script, { workerData: { seed: i, ends: i === 3 } }));
  await Promise.all(
    workers.map(
      (worker) =>
        new Promise((resolve, reject) => {
          worker.once('message', resolve);
          worker.once('error', reject);
        }),
    ),
  );
  scope(() =>
    randn([64, 64])
      .matmul(randn([64, 64]))
      .sum()
      .item(),
  );
  await Promise.all(workers.map((worker) => worker.terminate()));
}
if (memory().tensors !== before) throw new Error(`${before} tensors have become ${memory().tensors}`);
console.log(`${rounds} rounds, ${held.add(graph).mean().item()}`);
