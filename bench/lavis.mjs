// LAVIS, the peer of the first stage, beside the official implementations' environment: `.peers/lavis-stage1`. It is of 2023 and wants the
// transformers of that time, so both lie in a folder of their own, which peer/lavis_stage1.py puts in front of the environment.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { peerDirectory, peerPython } from '../scripts/oracle/setup.mjs';

const requirements = path.join(path.dirname(fileURLToPath(import.meta.url)), 'peer/lavis.txt');
const folder = path.join(path.dirname(peerDirectory), 'lavis-stage1');

/** The packages whose versions are fixed, with these. */
export function lavisVersions() {
  return readFileSync(requirements, 'utf8')
    .split('\n')
    .filter((line) => line.includes('=='))
    .map((line) => line.trim().replace('==', ' '));
}

/** Installs LAVIS unless it is there. */
export function setUpLavis() {
  if (existsSync(folder)) return;
  console.error('installing LAVIS (about 110 MB)');
  const partial = `${folder}.${process.pid}.tmp`;
  const options = ['--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary', ':all:', '--target', partial];
  try {
    execFileSync(peerPython, ['-m', 'pip', 'install', ...options, '-r', requirements], {
      stdio: ['ignore', process.stderr, process.stderr],
    });
    renameSync(partial, folder);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}
