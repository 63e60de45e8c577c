import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { SetupError } from '../native/errors.ts';
import { makeFolder } from '../native/files.ts';
import { lastLines, runChild } from './child.ts';
import { Progress } from './progress.ts';
import { megabytes, platformTags, type Wheel } from './wheels.ts';

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
  makeFolder(scratch);
  const [command = '', ...first] = pip;
  const args = [
    ...first,
    ...['download', '--no-deps', '--only-binary', ':all:', '--no-cache-dir'],
    ...['--disable-pip-version-check', '--progress-bar', 'off'],
    ...['--python-version', '3.12', '--implementation', 'cp', ...tags.flatMap((tag) => ['--platform', tag]), '--dest', folder],
    ...wanted.map(({ name, version }) => `${name}==${version}`),
  ];
  const watch = new DownloadWatch(scratch, megabytes(wanted));
  const { status, output } = await runChild(command, args, { env: { ...process.env, TMPDIR: scratch } }, () => undefined);
  watch.stop();
  if (status !== 0) {
    throw new SetupError(
      `${lastLines(output, 8)}\npip could not fetch libtorch (${pip.join(' ')}: ${status}; its last words are above). ${byHand(wanted)}`,
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

// pip says nothing while it downloads unless it has a terminal, so the growing files are looked at.
class DownloadWatch {
  readonly #progress = new Progress('downloading', 'MB');
  readonly #timer: NodeJS.Timeout;

  constructor(scratch: string, total: number) {
    this.#progress.start(total);
    let most = 0;
    this.#timer = setInterval(() => {
      // It moves each file to its place at the end.
      most = Math.max(most, sizeOf(scratch));
      this.#progress.update(Math.min(total, Math.round(most / 1e6)));
    }, 500);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#progress.stop();
  }
}

function sizeOf(folder: string): number {
  try {
    return readdirSync(folder, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .reduce((sum, entry) => sum + statSync(path.join(entry.parentPath ?? entry.path, entry.name)).size, 0);
  } catch {
    // Something was moved while it was looked at; the next look will do.
    return 0;
  }
}
