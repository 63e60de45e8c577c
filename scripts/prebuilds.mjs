// Builds the addons that go into the npm package: one a libtorch version, for each torch folder given, or for the one that is used here.
//   npm run prebuilds -- [TORCH_FOLDER …]
import { copyFileSync, cpSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import prebuildify from 'prebuildify';
import { jobs, makeStamp, nodeDirectory } from '../dist/cli/build.js';
import { addonName, candidates, inspect, prebuildDirectory } from '../dist/native/locate.js';
import { root } from './steps.mjs';

const given = process.argv.slice(2);
const folders =
  given.length > 0 ? given.map((folder) => path.resolve(folder)) : [candidates().find(({ taken }) => taken)?.directory];

for (const folder of folders) {
  const found = folder === undefined ? { problem: 'no libtorch is used here: run `npm run build` first' } : inspect(folder);
  if ('problem' in found) throw new Error(`${folder}: ${found.problem}`);
  await prebuild(folder, found.version);
}

async function prebuild(libtorch, version) {
  // prebuildify rebuilds from nothing and takes the addon out of its build folder, so it works on a copy.
  const copy = path.join(root, 'build/prebuild');
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(copy, { recursive: true });
  for (const name of ['binding.gyp', 'native', 'package.json'])
    cpSync(path.join(root, name), path.join(copy, name), { recursive: true });
  const env = { LIBTORCH: libtorch, JOBS: String(jobs()), npm_config_nodedir: nodeDirectory() };
  for (const [name, value] of Object.entries(env)) if (value !== undefined) process.env[name] = value;
  await new Promise((resolve, reject) => {
    const options = {
      cwd: copy,
      out: root,
      name: addonName(version).replace(/\.node$/, ''),
      napi: true,
      strip: true,
      targets: [process.version],
      nodeGyp: path.join(root, 'node_modules/.bin/node-gyp'),
    };
    prebuildify(options, (error) => (error ? reject(error) : resolve()));
  });
  const folder = prebuildDirectory(root);
  copyFileSync(path.join(copy, 'build/Release/opener.node'), path.join(folder, 'opener.node'));
  makeStamp(path.join(folder, addonName(version)), version, root);
  rmSync(copy, { recursive: true });
  console.log(`prebuilt ${path.join(folder, addonName(version))}`);
}
