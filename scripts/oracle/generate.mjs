// Writes the goldens again: `node scripts/oracle/generate.mjs` all of them, `node scripts/oracle/generate.mjs nn_layers optim_adamw` some.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { peerPython, setUpPeer } from './setup.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const all = readdirSync(here)
  .filter((file) => file.endsWith('.py') && !file.startsWith('_'))
  .map((file) => file.slice(0, -3))
  .sort();
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  console.error(`no generator ${unknown.join(', ')}; there are ${all.join(', ')}`);
  process.exit(2);
}

setUpPeer();
const failed = [];
for (const name of asked.length > 0 ? asked : all) {
  console.log(`— ${name}`);
  const { status } = spawnSync(peerPython, [path.join(here, `${name}.py`)], {
    cwd: path.resolve(here, '../..'),
    stdio: 'inherit',
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', HF_HUB_OFFLINE: '1', TOKENIZERS_PARALLELISM: 'false' },
  });
  if (status !== 0) failed.push(name);
}
if (failed.length > 0) {
  console.error(`failed: ${failed.join(', ')}`);
  process.exit(1);
}
