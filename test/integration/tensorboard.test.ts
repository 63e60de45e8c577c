// TensorBoard's own package, fetched by pip into the cache, reads what `TensorBoardLog` writes.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const VERSION = '2.20.0';
const PACKAGES = [`tensorboard==${VERSION}`, 'setuptools<81'];

/** A folder with TensorBoard and what it needs. */
function tensorboard(): string {
  const cache = path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache'), 'blip2');
  const folder = path.join(cache, `tensorboard-${VERSION}`);
  if (fs.existsSync(folder)) return folder;
  fs.mkdirSync(cache, { recursive: true });
  const partial = fs.mkdtempSync(`${folder}-`);
  const quiet = ['--quiet', '--disable-pip-version-check', '--no-warn-script-location'];
  execFileSync('python3', ['-m', 'pip', 'install', ...quiet, '--target', partial, ...PACKAGES], { stdio: 'inherit' });
  fs.renameSync(partial, folder);
  return folder;
}

test('TensorBoard reads every record and curve, and of a run that went on only what counts', () => {
  const env = { ...process.env, PYTHONPATH: tensorboard(), NODE: process.execPath, PYTHONWARNINGS: 'ignore' };
  const script = path.resolve('scripts/oracle/tensorboard_events.py');
  const said = execFileSync('python3', [script], { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  expect(said).toMatch(/^TensorBoard read \d+ records with 9 curves; a run that went on shows steps \[1, 2, 3, 4, 5, 6\]$/m);
}, 300_000);
