// A worker that computes without end, in and out of scopes, until it is terminated in the middle of it.
import { parentPort, workerData } from 'node:worker_threads';
import {
  crossEntropy,
  Generator,
  keep,
  linear,
  ones,
  randn,
  scope,
  setThreads,
  tensor,
  wrapTypedArray,
} from '../../dist/tensor/index.js';

setThreads(1);
const generator = new Generator(workerData.seed);
const weight = randn([3, 8], { generator }).requiresGrad_();
const kept = wrapTypedArray(new Float32Array(1000)); // still alive when the thread ends, as is much else
let told = false;
for (;;) {
  for (let i = 0; i < 5; i++) {
    scope(() => {
      const loss = crossEntropy(linear(randn([4, 8], { generator }), weight).gelu(), tensor([0n, 1n, 2n, 0n]));
      loss.backward();
      kept.add_(1);
      keep(ones([100]));
      try {
        ones([2, 3]).matmul(ones([2, 3]));
      } catch {
        // as it should
      }
    });
    ones([10]).add(1);
  }
  if (!told) parentPort.postMessage('at work');
  told = true;
  if (workerData.ends) break;
  await new Promise(setImmediate);
}
