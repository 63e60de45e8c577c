import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('../support/operator-fuzz.mjs', import.meta.url));
const room = mkdtempSync(path.join(tmpdir(), 'blip2-fuzz-'));
afterAll(() => rmSync(room, { recursive: true, force: true }));

test.each([1, 2])(
  'operators that are called without sense (seed %i) throw typed errors and never end the process',
  (seed) => {
    const log = path.join(room, String(seed));
    const { status, signal, stdout } = spawnSync(process.execPath, [script, String(seed), '4', log], {
      encoding: 'utf8',
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    const last = status === 0 ? '' : readFileSync(log, 'utf8').trim();
    expect({ status, signal, last }).toEqual({ status: 0, signal: null, last: '' });
    const { calls, untyped } = JSON.parse(stdout) as { calls: number; untyped: string[] };
    expect(calls).toBeGreaterThan(100);
    expect(untyped).toEqual([]);
  },
  120_000,
);
