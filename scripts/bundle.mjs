// Packs what a host without a network needs to build the addon for its own libtorch and to run the tests, such as a rented GPU machine:
// this node with its Node-API headers, the packages that run and build and test, sources, fixtures, and dist/.
//   npm run bundle   →  build/blip2-bundle.tar.xz; there: tar xf …, cd blip2, LIBTORCH=… sh scripts/offline.sh
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { transformFileSync } from '@swc/core';
import { nodeDirectory } from '../dist/cli/build.js';
import { root } from './steps.mjs';

const largest = 60e6;
const stage = path.join(root, 'build/bundle/blip2');
rmSync(stage, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });

function copy(from, to = from) {
  // Types, maps and documentation run nothing, nor do sources beside what is built from them.
  const filter = (file) => !/\.(map|d\.[cm]?ts|md|markdown)$|node_modules.*\.ts$/.test(file);
  cpSync(path.resolve(root, from), path.join(stage, to), { recursive: true, filter });
}

copyNode();
for (const file of sources()) {
  if (/^(test|examples)\/.*\.ts$/.test(file)) transpile(file);
  else copy(file);
}
copy('dist');
for (const name of packages()) copy(name);

const archive = path.join(root, 'build/blip2-bundle.tar.xz');
execFileSync('tar', ['-C', path.dirname(stage), '-cf', archive, '--use-compress-program', 'xz -T0', 'blip2'], {
  stdio: 'inherit',
});
rmSync(path.dirname(stage), { recursive: true });
const { size } = statSync(archive);
console.log(`${archive}: ${(size / 1e6).toFixed(1)} MB`);
if (size > largest) throw new Error(`the bundle is larger than ${largest / 1e6} MB`);

function copyNode() {
  copy(realpathSync(process.execPath), 'node/bin/node');
  execFileSync('strip', [path.join(stage, 'node/bin/node')], { stdio: 'inherit' });
  const headers = path.join(nodeDirectory() ?? '', 'include/node');
  // Node-API needs no headers of V8's or of OpenSSL's.
  for (const name of readdirSync(headers)) {
    if (/^(node|js_native).*\.h$|\.gypi$/.test(name)) copy(path.join(headers, name), `node/include/node/${name}`);
  }
}

// As Jest does it in the checkout, but here and now: the compiler is larger than all the tests.
function transpile(file) {
  const options = { swcrc: false, jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'es6' } };
  const { code } = transformFileSync(path.join(root, file), options);
  const target = path.join(stage, file.replace(/\.ts$/, '.js'));
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, code);
}

function sources() {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  return execFileSync('git', args, { cwd: root, encoding: 'utf8' })
    .split('\0')
    .filter(
      (file) =>
        /^(native|src|test|examples|scripts)\/|^[^/]+\.(json|mjs|gyp)$/.test(file) &&
        statSync(path.join(root, file), { throwIfNoEntry: false }),
    );
}

// What the package depends on, and Jest, through the lock file; of optional packages those that are installed.
function packages() {
  const { packages: locked } = JSON.parse(readFileSync(path.join(root, 'node_modules/.package-lock.json'), 'utf8'));
  const { dependencies } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  const found = new Set();
  const visit = (name, from) => {
    let folder = from;
    let key = `${folder}node_modules/${name}`;
    while (!(key in locked)) {
      if (folder === '') return;
      // One node_modules further up, as Node itself looks.
      folder = folder.slice(0, Math.max(0, folder.lastIndexOf('node_modules/', folder.length - 14)));
      key = `${folder}node_modules/${name}`;
    }
    if (found.has(key)) return;
    found.add(key);
    const { dependencies = {}, optionalDependencies = {}, peerDependencies = {} } = locked[key];
    for (const next of Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies })) visit(next, `${key}/`);
  };
  for (const name of [...Object.keys(dependencies), 'jest']) visit(name, '');
  // A nested package lies in the folder of the one that it is nested in.
  return [...found]
    .filter((key) => !key.includes('/node_modules/'))
    .filter((key) => !/typescript|biomejs|@types|parcel|swc/.test(key));
}
