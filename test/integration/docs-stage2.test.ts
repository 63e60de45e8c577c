import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

// The example of docs/stage2.md runs as it stands.

const root = path.join(import.meta.dirname, '../..');

test('the example of docs/stage2.md', () => {
  const text = fs.readFileSync(path.join(root, 'docs/stage2.md'), 'utf8');
  const blocks = [...text.matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, code]) => code as string);
  expect(blocks).toHaveLength(1);
  const code = blocks.join('\n').replaceAll("from 'blip2'", `from '${pathToFileURL(path.join(root, 'dist/index.js'))}'`);
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const [numbers = '', gradients] = stdout.trim().split('\n');
  const [loss, accuracy, tokens] = numbers.split(' ').map(Number);
  expect(loss).toBeGreaterThan(1);
  expect(accuracy).toBeGreaterThanOrEqual(0);
  expect(tokens).toBe(5);
  expect(gradients).toBe('true true');
});
