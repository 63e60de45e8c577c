import { spawnSync } from 'node:child_process';
import path from 'node:path';

// A frozen language model computes no gradients of its weights, and keeps no activations that only they would need.

interface Pass {
  held: number;
  gradients: number;
  reached: boolean;
}

const MiB = 2 ** 20;

/** Large blocks come from the system and go back to it at once, so that what the process has resident is what is held: glibc does so if told. */
const env = { ...process.env, MALLOC_MMAP_THRESHOLD_: '65536', OMP_NUM_THREADS: '1' };

(process.platform === 'linux' ? test : test.skip).each(['opt', 't5'])('%s', (kind) => {
  const child = path.join(import.meta.dirname, 'frozen-memory.child.mjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', child, kind], { encoding: 'utf8', env });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const { frozen, trained, inputs, needed } = JSON.parse(stdout) as Record<'frozen' | 'trained', Pass> &
    Record<'inputs' | 'needed', number>;
  expect([frozen.reached, trained.reached, frozen.gradients]).toEqual([true, true, 0]);
  expect(trained.gradients).toBeGreaterThan(50);
  expect(trained.held - frozen.held).toBeGreaterThan(inputs - 4 * MiB);
  if (kind === 'opt') expect(frozen.held).toBeLessThan(needed + 4 * MiB);
});
