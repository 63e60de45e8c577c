import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const support = path.join(import.meta.dirname, '../support');

// Any signal, abort or exit code but 0 rejects.
test('four worker threads load the addon and are ended in mid-use, 50 rounds, and the process ends well', async () => {
  const { stdout, stderr } = await run(process.execPath, [path.join(support, 'threads.mjs'), '50']);
  expect(stderr).toBe('');
  expect(stdout).toBe('50 rounds, 2001\n');
}, 400_000);

// Only the worker loads the addon here, so that the process is left without it before it ends.
test('workers that end by themselves leave a process that never loaded the addon', async () => {
  const script = `const { Worker } = await import('node:worker_threads');
    for (let i = 0; i < 3; i++) {
      const worker = new Worker('${path.join(support, 'thread-worker.mjs')}', { workerData: { seed: 1, ends: true }, execArgv: [] });
      await new Promise((resolve) => worker.once('exit', resolve));
    }`;
  const { stderr } = await run(process.execPath, ['--input-type=module', '-e', script]);
  expect(stderr).toBe('');
}, 120_000);

const imports = `import { ones, randn, scope, wrapTypedArray, Generator, setThreads } from '${new URL('../../dist/tensor/index.js', import.meta.url)}';`;

test.each([
  ['by itself', ''],
  ['by process.exit', 'process.exit(0);'],
  ['by process.exit in a scope', 'scope(() => { ones([3]); process.exit(0); });'],
  ['with a graph half walked', 'x.mul(2).sum().backward(null, { retainGraph: true });'],
])(
  'a process that holds tensors, gradients and shared arrays ends well: %s',
  async (_how, code) => {
    const script = `${imports}
    const x = ones([100, 100]).requiresGrad_();
    const shared = wrapTypedArray(new Float32Array(1000));
    const generator = new Generator(1);
    const y = x.mul(randn([100, 100], { generator })).add(shared.sum());
    ${code}
    if (y.isFreed) throw new Error('freed');`;
    const { stderr } = await run(process.execPath, ['--input-type=module', '-e', script]);
    expect(stderr).toBe('');
  },
  120_000,
);
