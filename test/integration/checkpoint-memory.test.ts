import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

// Loading a checkpoint of a gigabyte holds little more than the weights: peak memory, above that of the process with libtorch loaded and
// used, is at most 1.15 times what they take.

const here = import.meta.dirname;
const child = path.join(here, 'checkpoint-memory.child.mjs');
const linux = fs.existsSync('/proc/self/clear_refs');

function run(...args: string[]): Record<string, number> {
  const { status, stdout, stderr } = spawnSync(process.execPath, [child, ...args], { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout);
}

(linux ? test : test.skip)('peak memory of fromPretrained', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-memory-'));
  try {
    const { bytes } = run('save', folder) as { bytes: number };
    expect(bytes).toBeGreaterThanOrEqual(2 ** 30);
    for (const dtype of ['float32', 'bfloat16']) {
      const { weights, peak, sum } = run('load', folder, dtype) as { weights: number; peak: number; sum: number };
      expect(weights).toBe(dtype === 'float32' ? bytes : bytes / 2);
      expect(sum).toBe(0.5); // every value is the one that was saved
      expect(peak / weights).toBeLessThanOrEqual(1.15);
    }
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});
