import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

// The examples of docs/models.md run, one after the other, as they stand.

const root = path.join(import.meta.dirname, '../..');

test('the examples of docs/models.md', () => {
  const text = fs.readFileSync(path.join(root, 'docs/models.md'), 'utf8');
  const blocks = [...text.matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, code]) => code as string);
  expect(blocks.length).toBeGreaterThan(4);
  const code = blocks.join('\n').replaceAll("from 'blip2'", `from '${pathToFileURL(path.join(root, 'dist/index.js'))}'`);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-docs-'));
  try {
    const checks =
      "\nif (released.parameterCount() !== 3744761856 || again.queryTokens.dtype !== 'bfloat16') throw new Error('not as documented');\n";
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code + checks], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(fs.readdirSync(path.join(folder, 'caption-model')).sort()).toEqual([
      'config.json',
      'generation_config.json',
      'model.safetensors',
    ]);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});
