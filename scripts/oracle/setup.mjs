// Makes the Python environment of the official implementations: `node scripts/oracle/setup.mjs`. It lies in `.peers/hf`, is ignored by
// git, and takes about 5 GB. One that is there and holds what requirements.txt asks for is taken as it is; an incomplete one is completed.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../..');
const requirements = path.join(here, 'requirements.txt');

/** Where the environment is. */
export const peerDirectory = path.join(root, '.peers/hf');
/** Its interpreter. */
export const peerPython = path.join(peerDirectory, 'bin/python');

const wanted = readFileSync(requirements, 'utf8')
  .split('\n')
  .filter((line) => line.trim() !== '')
  .map((line) => line.trim().split('=='));

/** Installed versions by package name, or null where there is no such environment. */
export function peerVersions() {
  if (!existsSync(peerPython)) return null;
  const script = `
import importlib.metadata as m, json, sys
found = {}
for name in ${JSON.stringify(wanted.map(([name]) => name))}:
    try: found[name] = m.version(name)
    except m.PackageNotFoundError: found[name] = None
found["python"] = sys.version.split()[0]
print(json.dumps(found))`;
  const { status, stdout } = spawnSync(peerPython, ['-c', script], { encoding: 'utf8' });
  return status === 0 ? JSON.parse(stdout) : null;
}

/** What the environment lacks: nothing when it is ready. Local suffixes of a version (`2.13.0+cpu`) count as the version. */
function lacking(versions) {
  if (versions === null) return wanted.map(([name]) => name);
  return wanted
    .filter(([name, version]) => !versions[name] || (version !== undefined && versions[name].split('+')[0] !== version))
    .map(([name]) => name);
}

/** A Python that can make the environment: the first of `PYTHON`, python3.13 … python3.10, python3 that is 3.10 or newer and has venv. */
function findPython() {
  const tried = [];
  const names = ['python3.13', 'python3.12', 'python3.11', 'python3.10', 'python3', 'python'];
  for (const name of process.env.PYTHON ? [process.env.PYTHON, ...names] : names) {
    const test = 'import sys, venv, ensurepip; sys.exit(0 if (3, 10) <= sys.version_info[:2] <= (3, 13) else 3)';
    const { status, error } = spawnSync(name, ['-c', test], { stdio: 'ignore' });
    if (status === 0) return name;
    tried.push(`  ${name}: ${error ? 'not found' : status === 3 ? 'not of version 3.10 to 3.13' : 'has no venv module'}`);
  }
  throw new Error(
    `no Python for the official implementations was found; tried\n${tried.join('\n')}\nName one with PYTHON=/path/to/python3.`,
  );
}

/** Makes the environment unless it is there. Returns the versions of what it holds. */
export function setUpPeer() {
  const before = peerVersions();
  if (lacking(before).length === 0) return before;
  if (!existsSync(peerPython)) {
    const python = findPython();
    console.error(`making ${path.relative(root, peerDirectory)} with ${python}`);
    execFileSync(python, ['-m', 'venv', peerDirectory], { stdio: 'inherit' });
  }
  console.error(`installing ${wanted.map((pair) => pair.join(' ')).join(', ')} (about 5 GB on disk)`);
  execFileSync(peerPython, ['-m', 'pip', 'install', '--disable-pip-version-check', '-r', requirements], {
    stdio: ['ignore', process.stderr, process.stderr],
  });
  const after = peerVersions();
  const still = lacking(after);
  if (still.length > 0) throw new Error(`${peerDirectory} still lacks ${still.join(', ')}; delete it and try again`);
  return after;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const versions = setUpPeer();
  for (const [name, version] of Object.entries(versions)) console.log(`${name.padEnd(14)}${version}`);
}
