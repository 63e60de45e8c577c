// `npm run bench`: this library against PyTorch, transformers and Pillow, in turns on the same libtorch.
//   npm run bench -- [--only add,qformer] [--threads 2] [--rounds 9] [--quick]
// Writes bench/RESULTS.md when every row ran; `--only` and `--quick` print alone.

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { peerDirectory, peerPython, setUpPeer } from '../scripts/oracle/setup.mjs';
import { ratesInTurns, startsInTurns, summary } from './duel.mjs';
import { cells, isMet, table, writeResults } from './results.mjs';
import { choose } from './rows.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.dirname(here);
const materials = path.join(root, '.peers/bench');

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    threads: { type: 'string', default: String(os.availableParallelism()) },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const chosen = choose(options.only.split(',').filter((word) => word !== ''));
if (typeof chosen === 'string') {
  console.error(chosen);
  process.exit(2);
}
const threads = Number(options.threads);

const versions = setUpPeer();
const libtorch = execFileSync(peerPython, ['-c', 'import torch, os; print(os.path.dirname(torch.__file__))'], {
  encoding: 'utf8',
}).trim();
const env = {
  ...process.env,
  LIBTORCH: libtorch,
  OMP_NUM_THREADS: String(threads),
  HF_HUB_OFFLINE: '1',
  TOKENIZERS_PARALLELISM: 'false',
  PYTHONWARNINGS: 'ignore',
};
const child = (command) => ({ command, env, cwd: root });
const ours = (script, ...args) => [process.execPath, path.join(here, script), ...args];
const theirs = (script, ...args) => [peerPython, path.join(here, script), ...args];
const pinned = spawnSync('taskset', ['-c', '0', 'true']).status === 0 ? ['taskset', '-c', '0'] : [];

/** Weights, inputs and pictures, made once for each state of what makes them. */
function prepareMaterials() {
  const sources = ['models.json', 'peer/materials.py'].map((file) => path.join(here, file));
  const hash = createHash('sha256').update(JSON.stringify(versions));
  for (const file of sources) hash.update(readFileSync(file));
  const key = hash.digest('hex');
  const stamp = path.join(materials, 'key');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return;
  console.error('making checkpoints, inputs and pictures');
  rmSync(materials, { recursive: true, force: true });
  mkdirSync(materials, { recursive: true });
  execFileSync(peerPython, [sources[1], sources[0], materials], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  writeFileSync(stamp, key);
}

const progress = (title) => (round) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${title}: round ${round + 1}`);
};

async function turns(row) {
  const settings = JSON.stringify({ threads, materials, ...row.settings });
  const pin = row.oneCore ? pinned : [];
  const commands = [ours(`ours/${row.script}.mjs`, settings), theirs(`peer/${row.script}.py`, settings)];
  const rates = await ratesInTurns(
    commands.map((command) => child([...pin, ...command])),
    {
      agree: row.agree,
      rounds: Number(options.rounds ?? (options.quick ? 3 : (row.rounds ?? 11))),
      roundSeconds: options.quick ? 0.5 : 1.5,
      onRound: progress(row.title),
    },
  );
  return summary(...rates);
}

// Rows that come from the same runs share them.
let microRuns;
let startRuns;

async function micro(row) {
  const args = ['--threads', String(threads), '--rounds', options.quick ? '60' : '250'];
  const commands = [ours('micro.mjs', ...args), theirs('micro.py', ...args)].map(child);
  microRuns ??= await startsInTurns(commands, Number(options.rounds ?? (options.quick ? 1 : 5)), progress('small operators'));
  return summary(...microRuns.map((side) => side.map((answer) => answer[row.name])));
}

async function start(row) {
  const args = [path.join(materials, 'demo'), path.join(materials, '640x480.jpg'), String(threads)];
  const commands = [ours('ours/first-caption.mjs', ...args), theirs('peer/first_caption.py', ...args)].map(child);
  startRuns ??= await startsInTurns(commands, Number(options.rounds ?? (options.quick ? 1 : 7)), progress('cold start'));
  const captions = new Set(startRuns.flat().map(({ caption }) => caption));
  if (captions.size !== 1)
    throw new Error(`the captions differ: ${[...captions].map((text) => JSON.stringify(text)).join(', ')}`);
  const value = row.field === 'seconds' ? ({ seconds }) => seconds : ({ peakKiB }) => peakKiB / 1024;
  return summary(...startRuns.map((side) => side.map(value)));
}

function hardware() {
  const cpus = os.cpus();
  const flags = existsSync('/proc/cpuinfo') ? (/^flags.*$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[0] ?? '') : '';
  const known = ['avx2', 'avx512f', 'avx512_bf16', 'amx_bf16'].filter((flag) => flags.includes(` ${flag}`));
  const features = known.length > 0 ? ` (${known.join(', ')})` : '';
  return `${cpus[0]?.model.trim() ?? process.arch}${features}, ${cpus.length} cores, ${Math.round(os.totalmem() / 2 ** 30)} GiB, ${os.type()} ${os.release()}`;
}

/** Both sides must run on one libtorch: says where ours found it. */
function expectSharedLibtorch() {
  if (!existsSync('/proc/self/maps')) return;
  const script = `await import('blip2'); console.log((await import('node:fs')).readFileSync('/proc/self/maps', 'utf8'));`;
  const maps = execFileSync(process.execPath, ['--input-type=module', '-e', script], { env, cwd: root, encoding: 'utf8' });
  const file = /\S+\/libtorch_cpu\.so/.exec(maps)?.[0];
  if (file === undefined || !file.startsWith(realpathSync(libtorch)))
    throw new Error(`ours runs on ${file}, not on the peer's ${libtorch}`);
}

const load = os.loadavg()[0];
prepareMaterials();
expectSharedLibtorch();
const { python, ...packages } = versions;
const facts = [
  ['Machine', hardware()],
  ['Threads', `${threads}${pinned.length === 0 ? '' : '; pictures on one core'}`],
  ['Ours', `Node ${process.versions.node}, libtorch ${packages.torch} (the peer's own), sharp ${await sharpVersion()}`],
  [
    'Theirs',
    `Python ${python}, torch ${packages.torch}, transformers ${packages.transformers}, Pillow ${packages.pillow}, webdataset ${packages.webdataset}`,
  ],
  ['Load before the run', `${load.toFixed(1)} (what else runs here; above 0.5 the figures are noise)`],
  ['Date', new Date().toISOString().slice(0, 10)],
];

async function sharpVersion() {
  return JSON.parse(readFileSync(path.join(root, 'node_modules/sharp/package.json'), 'utf8')).version;
}

for (const [name, value] of facts) console.log(`${name}: ${value}`);
console.log(`Environment: ${path.relative(root, peerDirectory)}\n`);

const lines = [];
const missed = [];
let failed = false;
for (const row of chosen) {
  let result;
  try {
    result = await { turns, micro, start }[row.kind](row);
  } catch (error) {
    result = { error };
    failed = true;
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  const line = cells(row, result);
  lines.push(line);
  console.log(
    `${line[0]}: ours ${line[1]}, theirs ${line[2]}, ${line[3]}${line[4] ? ` (${line[4]})` : ''}, goal ${line[5]}: ${line[6]}`,
  );
  if (result.error !== undefined) console.log(`  ${result.error.message}`);
  else if (!isMet(row, result.ratio)) missed.push(row.title);
}
console.log(`\n${table(lines)}`);
if (missed.length > 0) console.log(`\nmissed: ${missed.join('; ')}`);
if (options.only === '' && !options.quick && !failed) {
  writeResults(path.join(here, 'RESULTS.md'), { facts, lines, command: 'npm run bench' });
  console.log('\nwritten: bench/RESULTS.md');
}
process.exitCode = failed ? 1 : 0;
