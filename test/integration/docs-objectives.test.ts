import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

// The example of docs/objectives.md runs as it stands.

const root = path.join(import.meta.dirname, '../..');

test('the example of docs/objectives.md', () => {
  const text = fs.readFileSync(path.join(root, 'docs/objectives.md'), 'utf8');
  const blocks = [...text.matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, code]) => code as string);
  expect(blocks).toHaveLength(1);
  const code = blocks.join('\n').replaceAll("from 'blip2'", `from '${pathToFileURL(path.join(root, 'dist/index.js'))}'`);
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const [itc, ...shares] = stdout.trim().split(' ').map(Number);
  expect(itc).toBeGreaterThan(0);
  expect(shares).toHaveLength(2);
  for (const share of shares) expect(share >= 0 && share <= 1).toBe(true);
});
