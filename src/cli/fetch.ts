import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { SetupError } from '../native/errors.ts';
import { Progress } from './progress.ts';
import { platformTags, type Wheel } from './wheels.ts';

// pip knows the user's index, proxy and certificates; whichever of these is there is asked.
const pips: readonly (readonly string[])[] = [['python3', '-m', 'pip'], ['pip3'], ['python', '-m', 'pip'], ['uvx', 'pip']];

/** The SHA-256 of a file, as hex. */
export async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Fetches wheels into a folder by pip and returns their files. @throws SetupError where there is no pip, or pip fails. */
export async function download(wanted: readonly Wheel[], platform: string, folder: string): Promise<string[]> {
  const tags = platformTags(platform);
  if (tags === undefined) throw new SetupError(`there is no libtorch to fetch for ${platform}. ${byHand(wanted)}`);
  const pip = pips.find(
    ([command, ...rest]) => spawnSync(command ?? '', [...rest, '--version'], { stdio: 'ignore' }).status === 0,
  );
  if (pip === undefined)
    throw new SetupError(`no pip was found (tried ${pips.map((words) => words.join(' ')).join(', ')}). ${byHand(wanted)}`);
  const scratch = path.join(folder, 'scratch');
  mkdirSync(scratch, { recursive: true });
  const [command = '', ...first] = pip;
  const args = [
    ...first,
    ...[
      'download',
      '--no-deps',
      '--only-binary',
      ':all:',
      '--no-cache-dir',
      '--disable-pip-version-check',
      '--progress-bar',
      'off',
    ],
    ...['--python-version', '3.12', '--implementation', 'cp', ...tags.flatMap((tag) => ['--platform', tag]), '--dest', folder],
    ...wanted.map(({ name, version }) => `${name}==${version}`),
  ];
  const child = spawn(command, args, { env: { ...process.env, TMPDIR: scratch }, stdio: ['ignore', 'pipe', 'pipe'] });
  const watch = new DownloadWatch(folder, scratch);
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    watch.read(output);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const status = await new Promise<number | string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'gone'));
  });
  watch.stop();
  if (status !== 0) {
    const tail = output.trimEnd().split('\n').slice(-8).join('\n');
    throw new SetupError(
      `${tail}\npip could not fetch libtorch (${pip.join(' ')}: ${status}; its last words are above). ${byHand(wanted)}`,
    );
  }
  return readdirSync(folder)
    .filter((name) => name.endsWith('.whl'))
    .map((name) => path.join(folder, name));
}

/** What to do where the network is out of reach. */
export function byHand(wanted: readonly Wheel[]): string {
  const tags = platformTags(`${process.platform}-${process.arch}`)?.slice(0, 1) ?? [];
  return [
    'Without a network, either',
    '  - set LIBTORCH to a torch folder that is there already (of a Python with torch 2.11 to 2.15, or of the unpacked C++ archive), or',
    '  - on another machine, put these wheels for CPython 3.12 into a folder, and give it by `npx blip2 setup --from FOLDER`:',
    ...wanted.map(({ name, version }) => `      ${name}==${version}`),
    ...tags.map((tag) => `    (pip download --no-deps --only-binary :all: --python-version 3.12 --platform ${tag} …)`),
    '  - or give the C++ archive of libtorch: `npx blip2 setup --from libtorch.zip --sha256 HEX`.',
  ].join('\n');
}

// pip says nothing while it downloads unless it has a terminal, so the growing files are looked at; it does say each file's size.
class DownloadWatch {
  readonly #progress = new Progress('downloading', 'MB');
  readonly #folders: readonly string[];
  readonly #timer: NodeJS.Timeout;
  #total = 0;

  constructor(folder: string, scratch: string) {
    this.#folders = [folder, scratch];
    this.#timer = setInterval(() => this.#look(), 500);
  }

  read(output: string): void {
    const sizes = [...output.matchAll(/^ *Downloading .*\(([\d.]+) (kB|MB|GB)\)/gm)];
    const units: { [unit: string]: number } = { kB: 1e-3, MB: 1, GB: 1e3 };
    const total = Math.ceil(sizes.reduce((sum, [, number, unit]) => sum + Number(number) * (units[unit ?? ''] ?? 0), 0));
    if (total === this.#total) return;
    this.#total = total;
    this.#progress.start(total);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#progress.stop();
  }

  #look(): void {
    if (this.#total === 0) return;
    const bytes = this.#folders.reduce((sum, folder) => sum + sizeOf(folder), 0);
    this.#progress.update(Math.min(this.#total, Math.round(bytes / 1e6)));
  }
}

function sizeOf(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile() || !/\.whl/.test(entry.name)) continue;
    bytes += statSync(path.join(entry.parentPath ?? entry.path, entry.name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}
