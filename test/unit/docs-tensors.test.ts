import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = mkdtempSync(path.join(tmpdir(), 'blip2-docs-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A snippet's line; where its remark is a value or an error's name, what makes sure of it. */
function checked(line: string): string {
  const [, expression, remark = ''] = /^(?!const|let|import|for|\/\/)(\S.*); \/\/ (.*)$/.exec(line) ?? [];
  if (expression === undefined) return line;
  const value = /^(?:\S+: )?(\[.*\]|[\d.]+|true)(?: = .*)?$/.exec(remark)?.[1];
  if (value !== undefined && !/^x\[/.test(remark)) return `same(${expression}, ${value}, ${JSON.stringify(line)});`;
  const error = /^throws (\w+)$/.exec(remark)?.[1];
  return error === undefined ? line : `throwing(() => ${expression}, ${error});`;
}

test('the snippets of docs/tensors.md do what their remarks say', () => {
  const text = readFileSync('docs/tensors.md', 'utf8');
  const snippets = [...text.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code);
  expect(snippets.length).toBeGreaterThan(5);
  const lines = snippets
    .join('\n')
    .split('\n')
    .filter((line) => !line.startsWith('import '))
    .map(checked);
  const checks = lines.filter((line) => /^(same|throwing)\(/.test(line)).length;
  expect(checks).toBeGreaterThan(6);
  const names = [
    'Generator',
    'TensorFreedError',
    'fromTypedArray',
    'grad',
    'manualSeed',
    'memory',
    'noGrad',
    'randn',
    'scope',
    'slice',
  ];
  const library = pathToFileURL(path.resolve('dist/index.js')).href;
  const file = path.join(folder, 'tensors.mjs');
  writeFileSync(
    file,
    `import assert from 'node:assert';
import { ${[...names, 'tensor', 'wrapTypedArray'].join(', ')} } from ${JSON.stringify(library)};
const same = (actual, expected, line) => assert.deepStrictEqual(JSON.parse(JSON.stringify(actual)), expected, line);
const throwing = (run, type) => assert.throws(run, type);
${lines.join('\n')}
assert.deepStrictEqual([...shared], [7, 7, 7, 7]);
`,
  );
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  // What is printed stands behind the call, in two lines.
  const after = text.slice(text.indexOf('console.log(y); // ') + 'console.log(y); // '.length);
  const printed = after.split('\n', 2).map((line) => line.replace('//', '').trim());
  expect(stdout.split('\n', 2).map((line) => line.trim())).toEqual(printed);
});
