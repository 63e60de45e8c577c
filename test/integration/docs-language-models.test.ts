import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  building,
  Generator,
  parseT5Config,
  saveSafetensors,
  T5ForConditionalGeneration,
  t5ConfigToJson,
} from '../../src/index.ts';

// The examples of docs/language-models.md run, one after the other, as they stand, with a small folder in the place of Flan-T5's.

const root = path.join(import.meta.dirname, '../..');

test('the examples of docs/language-models.md', () => {
  const text = fs.readFileSync(path.join(root, 'docs/language-models.md'), 'utf8');
  const blocks = [...text.matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, code]) => code as string);
  expect(blocks).toHaveLength(5);
  const code = blocks.join('\n').replaceAll("from 'blip2'", `from '${pathToFileURL(path.join(root, 'dist/index.js'))}'`);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-docs-'));
  try {
    const t5 = path.join(folder, 'flan-t5-xl');
    fs.mkdirSync(t5);
    const config = parseT5Config({ vocab_size: 40, d_model: 16, d_kv: 4, d_ff: 20, num_layers: 1, num_heads: 2 });
    const model = building({ generator: new Generator(1) }, () => new T5ForConditionalGeneration(config));
    saveSafetensors(path.join(t5, 'model.safetensors'), model.stateDict());
    fs.writeFileSync(path.join(t5, 'config.json'), JSON.stringify(t5ConfigToJson(config)));
    fs.copyFileSync(path.join(root, 'test/fixtures/text/spiece/spiece.model'), path.join(t5, 'spiece.model'));
    const checks = `
if (logits.shape.join() !== '2,3,64' || !(loss.item() > 0) || sequences.select(1, 0).sum().item() !== 0) throw new Error('not as documented');
if (t5.shared.weight.dtype !== 'bfloat16' || t5.shared.weight.requiresGrad) throw new Error('not as documented');
`;
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code + checks], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});
