import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { exportsOf } from '../support/exports.ts';

const list = fileURLToPath(new URL('../fixtures/public-names.txt', import.meta.url));

/** Public names, which others build on: the names of the list, `floor: name name …` a line, which may go on in lines that are set in. */
function listed(): Record<string, string[]> {
  const lines = readFileSync(list, 'utf8').replaceAll(/\n +/g, ' ').trim().split('\n');
  return Object.fromEntries(lines.map((line) => line.split(': ')).map(([floor = '', names = '']) => [floor, names.split(' ')]));
}

test('the floors that are listed export what is listed, and nothing else', () => {
  const pinned = listed();
  const now: Record<string, string[]> = {};
  for (const [name, file] of exportsOf('index.ts')) {
    const floor = file.split('/', 1)[0] as string;
    if (!Object.hasOwn(pinned, floor)) continue;
    now[floor] = [...(now[floor] ?? []), name];
  }
  for (const names of Object.values(now)) names.sort();
  expect(now).toEqual(pinned);
});

test('what is marked as internal is not in the declarations, and they are whole without it', () => {
  const dist = path.resolve('dist');
  const files = readdirSync(dist, { recursive: true })
    .map(String)
    .filter((file) => file.endsWith('.d.ts'));
  expect(files.length).toBeGreaterThan(100);
  expect(files.filter((file) => readFileSync(path.join(dist, file), 'utf8').includes('@internal'))).toEqual([]);
  // As in a project that checks its libraries.
  const compiler = path.resolve('node_modules/typescript/bin/tsc');
  const options =
    '--noEmit --strict --skipLibCheck false --module nodenext --target es2022 --lib es2023,esnext.disposable --types node';
  const { stdout, status } = spawnSync(process.execPath, [compiler, ...options.split(' '), '--ignoreConfig', 'dist/index.d.ts'], {
    encoding: 'utf8',
  });
  expect(stdout).toBe('');
  expect(status).toBe(0);
}, 120_000);
