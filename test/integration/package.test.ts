// What a user does: installs the packed package, without install scripts, into a folder of their own, and uses it from there.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isCurrent } from '../../src/cli/build.ts';
import { addonName, buildDirectory, candidates, packageRoot, prebuildDirectory } from '../../src/native/locate.ts';

const { version = '', directory: libtorch = '' } = candidates().find(({ taken }) => taken) ?? {};
const room = mkdtempSync(path.join(tmpdir(), 'blip2-package-'));
const app = path.join(room, 'app');

afterAll(() => rmSync(room, { recursive: true, force: true }));

function run(command: string, args: readonly string[], cwd = app): string {
  return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/**
 * A compiler that takes what the local build compiled of the very same sources, and runs the real one for the rest, which is linking. A whole
 * compilation would take minutes.
 */
function compiler(): string {
  const file = path.join(room, 'compiler.sh');
  const built = isCurrent(path.join(buildDirectory(), addonName(version)), version) ? buildDirectory() : '/nowhere';
  const script = `#!/bin/sh
for argument; do
  case "$before" in -o) out=$argument ;; -MF) dependencies=$argument ;; esac
  before=$argument
done
built='${built}'/obj.target/"\${out##*/obj.target/}"
case "$out" in
*/obj.target/*.o) if [ -f "$built" ]; then cp "$built" "$out" && : > "$dependencies" && exit; fi ;;
esac
exec ${process.env.CXX ?? 'c++'} "$@"
`;
  writeFileSync(file, script, { mode: 0o755 });
  return file;
}

const SHIPPED = [
  'package.json',
  'dist',
  'native',
  'binding.gyp',
  'README.md',
  'CHANGELOG.md',
  'LICENSE',
  'docs',
  'bench',
  'examples',
];

// The package as it is published: `npm run prebuilds` and `npm pack`, in a copy.
function pack(): { archive: string; files: string[] } {
  const stage = path.join(room, 'stage');
  mkdirSync(stage);
  for (const name of [...SHIPPED, 'scripts']) {
    cpSync(path.join(packageRoot, name), path.join(stage, name), { recursive: true });
  }
  symlinkSync(path.join(packageRoot, 'node_modules'), path.join(stage, 'node_modules'));
  const env = { ...process.env, CXX: compiler() };
  execFileSync('npm', ['run', 'prebuilds', '--', libtorch], {
    cwd: stage,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [packed] = JSON.parse(run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', room], stage)) as {
    filename: string;
    files: { path: string }[];
  }[];
  return { archive: path.join(room, packed?.filename ?? ''), files: (packed?.files ?? []).map((file) => file.path) };
}

/** Links of documents to files of the package that are not in it. */
function deadLinks(folder: string): string[] {
  const documents = ['README.md', ...readdirSync(path.join(folder, 'docs')).map((name) => `docs/${name}`)].filter((name) =>
    name.endsWith('.md'),
  );
  expect(documents.length).toBeGreaterThan(12);
  return documents.flatMap((name) => {
    const text = readFileSync(path.join(folder, name), 'utf8');
    const targets = [...text.matchAll(/\]\(([^)#\s]+)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !target.includes('://'));
    return targets
      .filter((target) => !existsSync(path.join(folder, path.dirname(name), target)))
      .map((target) => `${name}: ${target}`);
  });
}

test('the package installs into another folder and works there, from ESM and CommonJS', () => {
  const { archive, files } = pack();
  const folder = path.relative(packageRoot, prebuildDirectory());
  expect(files.filter((file) => file.startsWith('prebuilds')).sort()).toEqual(
    [`blip2-torch-${version}.json`, addonName(version), 'opener.node'].map((name) => `${folder}/${name}`),
  );
  mkdirSync(app);
  writeFileSync(path.join(app, 'package.json'), '{ "private": true }');
  run('npm', ['install', archive, '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline']);
  const installed = path.join(app, 'node_modules/blip2');
  const shipped = readdirSync(installed, { recursive: true }).map(String);
  expect(shipped).toContain('binding.gyp');
  expect(shipped.filter((name) => /\.map$|tsbuildinfo|^(src|test|build)\b/.test(name))).toEqual([]);

  expect(deadLinks(installed)).toEqual([]);

  const report = run('npx', ['blip2', 'doctor']);
  expect(report).toContain(`prebuilt for libtorch ${version}: ${installed}`);
  expect(report).toContain('Everything needed is there.');
  const source = path.join(installed, 'native/storage.cc');
  const content = readFileSync(source);
  appendFileSync(source, '\n');
  expect(run('npx', ['blip2', 'doctor'])).toMatch(/hint: .* is older than its sources\n {4}remedy: `npx blip2 setup`/);
  writeFileSync(source, content);

  writeFileSync(
    path.join(app, 'cjs.cjs'),
    "const { tensor } = require('blip2'); console.log(tensor([1, 2, 3]).mul(2).toArray());",
  );
  writeFileSync(path.join(app, 'esm.mjs'), "import { tensor } from 'blip2'; console.log(tensor([1, 2, 3]).mul(2).toArray());");
  expect(run(process.execPath, ['cjs.cjs'])).toBe('[ 2, 4, 6 ]\n');
  expect(run(process.execPath, ['esm.mjs'])).toBe('[ 2, 4, 6 ]\n');

  // A local build does not come before a prebuilt addon.
  const prebuilt = path.join(prebuildDirectory(installed), addonName(version));
  const local = path.join(buildDirectory(installed), addonName(version));
  mkdirSync(path.dirname(local), { recursive: true });
  cpSync(prebuilt, local);
  writeFileSync(
    path.join(app, 'loaded.mjs'),
    "import 'blip2'; for (const file of process.report.getReport().sharedObjects) if (file.endsWith('.node')) console.log(file);",
  );
  const loaded = run(process.execPath, ['loaded.mjs']).trim().split('\n');
  const ours = loaded.filter((file) => file.startsWith(realpathSync(installed)));
  expect(ours.sort()).toEqual(
    [prebuilt, path.join(prebuildDirectory(installed), 'opener.node')].map((file) => realpathSync(file)),
  );

  // One that does not load gives way to a local build; without one, the error names all that was tried.
  writeFileSync(prebuilt, 'no addon');
  expect(run(process.execPath, ['esm.mjs'])).toBe('[ 2, 4, 6 ]\n');
  writeFileSync(local, 'no addon either');
  expect(() => run(process.execPath, ['esm.mjs'])).toThrow(
    new RegExp(
      `SetupError: no addon could be loaded with libtorch ${version} [^]*${prebuilt}: [^]*${local}: [^]*npx blip2 setup`,
    ),
  );
});

test('doctor explains an installation that cannot load, and fails', () => {
  const env = {
    ...process.env,
    LIBTORCH: path.join(room, 'nowhere'),
    VIRTUAL_ENV: room,
    XDG_CACHE_HOME: path.join(room, 'cache'),
  };
  const main = path.join(packageRoot, 'dist/cli/main.js');
  let report = '';
  try {
    execFileSync(process.execPath, [main, 'doctor'], { env, encoding: 'utf8' });
  } catch (error) {
    report = (error as { stdout: string }).stdout;
  }
  expect(report).toContain(`passed over LIBTORCH: ${path.join(room, 'nowhere')}: no such folder`);
  expect(report).toContain(`passed over VIRTUAL_ENV: ${room}: this Python has no torch`);
  expect(report).toContain('`npx blip2 setup` fills it');
  expect(report).toContain('2 things are wrong.');
  const told = spawnSync(process.execPath, [main, 'doctor', '--json'], { env, encoding: 'utf8' });
  expect([told.status, told.stderr]).toEqual([1, report]);
  expect(JSON.parse(told.stdout)).toMatchObject({
    works: false,
    loads: { problem: 'for want of libtorch or addon' },
    findings: expect.arrayContaining([
      expect.objectContaining({ broken: true, what: expect.stringContaining('LIBTORCH is set') }),
    ]),
  });
});
