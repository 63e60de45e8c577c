// `npm run bench`: this library against PyTorch, transformers and Pillow, in turns on the same libtorch.
//   npm run bench -- [--only add,qformer [--write]] [--all] [--threads 2] [--rounds 9] [--quick] [--cpu] [--batch 4] [--render]
// Keeps what it measures in bench/results.json, in the place of what was measured of the same rows before, and writes bench/RESULTS.md from it; with
// `--only` it prints alone, unless `--write` is there, too. `--render` writes RESULTS.md anew without measuring. `--all` also runs the rows at
// full size; `--rounds` allows each row so many at most. These are for a look, and keep nothing: `--quick`; `--batch`, which changes the batch of rows
// that have one; `--cpu`, which with `--threads 1` is of use on a machine that does other things too, as it compares processor time instead of
// time, for rows whose processes stay.

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { peerDirectory, peerPython, setUpPeer } from '../scripts/oracle/setup.mjs';
import { besideOthers, commit, machine } from './conditions.mjs';
import { ratesInTurns, startsInTurns, summary } from './duel.mjs';
import { lavisVersions, setUpLavis } from './lavis.mjs';
import { cells, isMet, render, table } from './report.mjs';
import { merge, QUIET, read, record, replace, write } from './results.mjs';
import { choose, rows } from './rows.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.dirname(here);
/** The folder of a row's weights, inputs and pictures. */
const materialsOf = ({ materials = 'hf' }) => path.join(root, '.peers/bench', materials);

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    threads: { type: 'string', default: String(os.availableParallelism()) },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    cpu: { type: 'boolean', default: false },
    batch: { type: 'string' },
    all: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    render: { type: 'boolean', default: false },
  },
});
const RESULTS = ['bench/results.json', 'bench/RESULTS.md'];
const [kept, shown] = RESULTS.map((file) => path.join(root, file));
if (options.render) {
  replace(shown, render(read(kept), rows));
  process.exit();
}
/** A row's own rounds, or fewer. */
const roundsOf = (own) => Math.min(own, Number(options.rounds ?? own));
const chosen = choose(
  options.only.split(',').filter((word) => word !== ''),
  options.all,
);
if (typeof chosen === 'string') {
  console.error(chosen);
  process.exit(2);
}
const threads = Number(options.threads);
const isLook = options.quick || options.cpu || options.batch !== undefined;
if (isLook && options.write) {
  console.error(
    '--quick, --cpu and --batch measure something else than the rows that are kept, so --write has no place beside them',
  );
  process.exit(2);
}
const isKept = !isLook && (options.only === '' || options.write);

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

/** Runs a script that fills a folder with weights, inputs and pictures, once for each state of what makes them. */
function prepareMaterials(folder, script, files, made) {
  const hash = createHash('sha256').update(JSON.stringify(made));
  const sources = [script, ...files].map((file) => path.join(here, file));
  for (const file of sources) hash.update(readFileSync(file));
  const key = hash.digest('hex');
  const stamp = path.join(folder, 'key');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return;
  console.error(`making what ${path.basename(script, '.py')} works on`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const args = [...sources, folder];
  execFileSync(peerPython, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  writeFileSync(stamp, key);
}

/** Peers that some rows need besides the environment itself. Each is made when its first row comes; where that fails, these rows do not run. */
const peers = {
  lavis: () => {
    setUpLavis();
    prepareMaterials(materialsOf({ materials: 'lavis' }), 'peer/lavis_stage1.py', [], lavisVersions());
  },
  fullSize: () => prepareMaterials(materialsOf({ materials: 'full-size' }), 'peer/full_size_model.py', [], versions),
  stage2: () => prepareMaterials(materialsOf({ materials: 'stage2' }), 'peer/stage2_model.py', [], versions),
};
const found = new Map();

class NotRun extends Error {}

function need(name) {
  if (!found.has(name)) {
    try {
      peers[name]();
      found.set(name, {});
    } catch (error) {
      found.set(name, { problem: `${name} cannot be had: ${error.message.split('\n')[0]}` });
    }
  }
  const { problem } = found.get(name);
  if (problem !== undefined) throw new NotRun(problem);
}

const progress = (title) => (round) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${title}: round ${round + 1}`);
};

/** What a row's two scripts are told. */
function settingsOf(row) {
  const batch = options.batch === undefined || row.settings.batch === undefined ? {} : { batch: Number(options.batch) };
  return JSON.stringify({ threads, materials: materialsOf(row), ...row.settings, ...batch });
}

async function turns(row) {
  const settings = settingsOf(row);
  const pin = row.oneCore ? pinned : [];
  const commands = [ours(`ours/${row.script}.mjs`, settings), theirs(`peer/${row.script}.py`, settings)];
  const how = {
    agree: row.agree,
    rounds: roundsOf(options.quick ? 3 : (row.rounds ?? 9)),
    roundSeconds: options.quick ? 0.5 : 1,
    once: row.once,
    clock: options.cpu ? 'cpuSeconds' : 'seconds',
    onRound: progress(row.title),
  };
  const children = commands.map((command) => child([...pin, ...command]));
  const { value: rates, load } = await besideOthers(() => ratesInTurns(children, how));
  return { ...summary(...rates), load };
}

// Rows that come from the same runs share them.
const runs = new Map();
const once = async (name, work) => {
  if (!runs.has(name)) runs.set(name, await besideOthers(work));
  return runs.get(name);
};

async function micro(row) {
  const args = ['--threads', String(threads), '--rounds', options.quick ? '60' : '250'];
  const commands = [ours('micro.mjs', ...args), theirs('micro.py', ...args)].map(child);
  const rounds = roundsOf(options.quick ? 1 : 3);
  const { value: sides, load } = await once('micro', () => startsInTurns(commands, rounds, progress('small operators')));
  return { ...summary(...sides.map((side) => side.map((answer) => answer[row.name]))), load };
}

/** Rows of processes that start, say one thing, and end. */
async function start(row) {
  const { script, rounds, value, theirs: against = value, agree } = row;
  const args = settingsOf(row);
  const commands = [ours(`ours/${script}.mjs`, args), theirs(`peer/${script}.py`, args)].map(child);
  const count = roundsOf(options.quick ? 1 : rounds);
  const work = () => startsInTurns(commands, count, progress(row.title), row.warm);
  const { value: sides, load } = await once(`${script} ${args}`, work);
  const difference = agree(sides[0][0], sides[1][0]);
  if (difference !== '') throw new Error(`the two sides do not compute the same: ${difference}`);
  return { ...summary(sides[0].map(value), sides[1].map(against)), load };
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

prepareMaterials(materialsOf({}), 'peer/materials.py', ['models.json'], versions);
expectSharedLibtorch();
const { python, ...packages } = versions;
const sharp = JSON.parse(readFileSync(path.join(root, 'node_modules/sharp/package.json'), 'utf8')).version;
const setup = {
  machine: machine(),
  system: `${os.type()} ${os.release()}`,
  threads: `${threads}${pinned.length === 0 ? '' : '; pictures on one core'}`,
  ours: `Node ${process.versions.node}, libtorch ${packages.torch} (the peer's own), sharp ${sharp}`,
  ...(process.env.BLIP2_MKL === 'fast' ? { settings: 'BLIP2_MKL=fast on our side' } : {}),
  theirs: `Python ${python}, torch ${packages.torch}, transformers ${packages.transformers}, Pillow ${packages.pillow}, webdataset ${packages.webdataset}; of LAVIS ${lavisVersions().join(', ')}`,
};
const state = commit(root, RESULTS);
for (const [name, value] of Object.entries(setup)) console.log(`${name}: ${value}`);
console.log(`commit: ${state}\nenvironment: ${path.relative(root, peerDirectory)}\n`);

const lines = [];
const missed = [];
let failed = false;
for (const row of chosen) {
  const made = { date: new Date().toISOString().slice(0, 10), commit: state };
  let result;
  let problem = '';
  const started = performance.now();
  try {
    if (row.needs !== undefined) need(row.needs);
    const { load, ...figures } = await { turns, micro, start }[row.kind](row);
    result = record(figures, { ...made, load });
    if (!isMet(row, result.ratio)) missed.push(row.title);
  } catch (error) {
    problem = `\n  ${error.message}`;
    result = { ...made, outcome: error instanceof NotRun ? 'not run' : 'failed' };
    failed ||= !(error instanceof NotRun);
  }
  const seconds = Math.round((performance.now() - started) / 1000);
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  const line = cells(row, result);
  lines.push(line);
  const [title, own, other, ratio, rounds, goal, met, others] = line;
  const beside = others === '' ? '' : `, others ${others}`;
  console.log(
    `${title}: ours ${own}, theirs ${other}, ${ratio} (${rounds}), goal ${goal}: ${met}${beside} [${seconds} s]${problem}`,
  );
  if (!isKept) continue;
  // After every row: a run that is ended leaves what it has.
  write(kept, merge(read(kept), setup, row.key, result));
  replace(shown, render(read(kept), rows));
}
for (const row of chosen) if (row.named) rmSync(materialsOf(row), { recursive: true, force: true });
console.log(`\n${table(lines)}`);
if (missed.length > 0) console.log(`\nmissed: ${missed.join('; ')}`);
console.log(`! more than ${QUIET} cores were busy with other programs`);
if (isKept) console.log(`\nkept: ${RESULTS.join(', ')}`);
process.exitCode = failed ? 1 : 0;
