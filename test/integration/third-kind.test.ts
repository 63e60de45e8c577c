import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { sources } from '../support/sources.ts';

// A third kind of language model is one new file and one line: the bridge of docs/language-models.md, in a copy of the sources.

const root = path.join(import.meta.dirname, '../..');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-third-kind-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const LANGUAGE = 'src/models/blip2/language';

function node(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('a kind that is added does all that the others do', () => {
  const [, bridge] = /^```typescript\n([\s\S]*?)^```$/m.exec(
    fs.readFileSync(path.join(root, 'docs/language-models.md'), 'utf8'),
  ) as unknown as [string, string];
  for (const name of ['src', 'package.json', 'tsconfig.json']) {
    fs.cpSync(path.join(root, name), path.join(folder, name), { recursive: true });
  }
  for (const name of ['node_modules', 'build', 'prebuilds']) {
    if (fs.existsSync(path.join(root, name))) fs.symlinkSync(path.join(root, name), path.join(folder, name));
  }
  fs.writeFileSync(path.join(folder, LANGUAGE, 'gpt.ts'), bridge);
  fs.appendFileSync(path.join(folder, LANGUAGE, 'registry.ts'), "export { gpt } from './gpt.ts';\n");
  expect(node('node_modules/typescript/bin/tsc', '-p', '.')).toEqual({ status: 0, stdout: '', stderr: '' });
  const script = path.join(import.meta.dirname, 'third-kind.child.mjs');
  const { status, stdout, stderr } = node(script, folder, path.join(root, 'test/fixtures'));
  expect([status, status === 0 ? '' : stderr]).toEqual([0, '']);
  expect(stdout).toBe('all as with the others\n');
  const flags = ['--vision', 'eva-vit-g', '--language-model', 'gpt-large', '--show-recipe'];
  const recipe = node('dist/cli/main.js', 'train', 'stage2', ...flags);
  expect(recipe.stderr).toBe('');
  expect(JSON.parse(recipe.stdout)).toMatchObject({ languageModel: { modelType: 'gpt', nLayer: 36 }, batchSize: 640 });
}, 120_000);

test('no other source names a kind', () => {
  const own = /^models\/(?:opt\/|t5\/|index\.ts$|blip2\/language\/(?:opt|t5|registry)\.ts$)/;
  const named = sources().flatMap(({ file, text }) => {
    const code = text.replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, '');
    const found = own.test(file) ? [] : [...code.matchAll(/\b(?:Opt|T5)(?:Config|For\w+)\b|'(?:opt|t5)'|(?:opt|t5)_\w+/g)];
    return found.map(([name]) => `${file}: ${name}`);
  });
  // Configurations without a name are about OPT.
  expect(named).toEqual(["models/blip2/language/kinds.ts: 'opt'"]);
});
