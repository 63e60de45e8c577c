import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import type { Addon } from './addon.ts';
import { cuda, noDeviceReason } from './cuda.ts';
import { SetupError } from './errors.ts';
import { builtAddons, builtFiles, type Candidate, candidates, libraryFile } from './locate.ts';

const require = createRequire(import.meta.url);

/** Opens a shared library for everybody; null, or what kept it away. */
type Open = (file: string) => string | null;

/** The libtorch that was loaded. */
export const libtorch: Candidate = locate();

/** The loaded addon. */
export const addon: Addon = load(libtorch);

function locate(): Candidate {
  const tried = candidates();
  const taken = tried.find((candidate) => candidate.taken);
  if (taken === undefined) throw new SetupError(notFound(tried));
  const [first] = tried;
  if (first?.source === 'LIBTORCH' && first !== taken) {
    process.emitWarning(`LIBTORCH=${first.directory} was passed over: ${first.reason}; ${taken.directory} is used instead`);
  }
  return taken;
}

function notFound(tried: readonly Candidate[]): string {
  const addons = builtAddons();
  return [
    'no libtorch that this package has an addon for. Tried, in this order:',
    ...tried.map(
      ({ source, directory, version, reason }) =>
        `  ${source}: ${directory}${version === undefined ? '' : ` (${version})`}: ${reason}`,
    ),
    addons.length === 0 ? 'No addon was built.' : 'Addons are there for:',
    ...addons.map(({ version, file }) => `  libtorch ${version}: ${file}`),
    'Remedies: run `npx blip2 setup`, which finds or fetches libtorch and builds the addon for it; or set LIBTORCH to the torch folder',
    '(with lib/ in it) of one of the versions above. `npx blip2 doctor` says more.',
  ].join('\n');
}

function load({ directory, version = '', addons }: Candidate): Addon {
  openLibtorch(directory);
  const problems: string[] = [];
  for (const file of addons) {
    try {
      const loaded = require(file) as Addon;
      if (loaded.builtFor.startsWith(version)) return loaded;
      problems.push(`${file}: built for libtorch ${loaded.builtFor}`);
    } catch (error) {
      problems.push(`${file}: ${textOf(error)}`);
    }
  }
  throw new SetupError(
    [
      `no addon could be loaded with libtorch ${version} of ${directory}. Tried:`,
      ...problems.map((problem) => `  ${problem}`),
      'Remedy: `npx blip2 setup` builds one; `npx blip2 doctor` says more.',
    ].join('\n'),
  );
}

function openLibtorch(directory: string): void {
  const problems: string[] = [];
  for (const opener of builtFiles('opener.node')) {
    let open: Open;
    try {
      open = loadOpener(opener);
    } catch (error) {
      problems.push(`${opener}: ${textOf(error)}`);
      continue;
    }
    for (const name of ['c10', 'torch_cpu']) {
      const problem = open(libraryFile(directory, name));
      if (problem === null) continue;
      throw new SetupError(`libtorch of ${directory} could not be loaded: ${problem}\n\`npx blip2 doctor\` says more.`);
    }
    openCuda(directory, open);
    return;
  }
  throw new SetupError(['opener.node is missing or does not load: run `npx blip2 setup`', ...problems].join('\n  '));
}

/** `BLIP2_MKL=fast` loads the opener for everybody, which makes MKL run its fast kernels on AMD's processors, too (native/opener.cc). */
function loadOpener(file: string): Open {
  if (process.env.BLIP2_MKL !== 'fast') return (require(file) as { open: Open }).open;
  const module = { exports: {} as { open: Open } };
  process.dlopen(module, file, constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL);
  return module.exports.open;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

// This must come before the first question about CUDA: one asked earlier is remembered and leaves CUDA off for good.
function openCuda(directory: string, open: Open): void {
  const reason = noDeviceReason(process.env) ?? openCudaLibraries(directory, open);
  cuda.open = reason === undefined;
  cuda.reason = reason;
}

function openCudaLibraries(directory: string, open: Open): string | undefined {
  const file = libraryFile(directory, 'torch_cuda');
  if (!existsSync(file)) return `the libtorch in ${directory} is without CUDA: run \`npx blip2 setup --cuda\``;
  return open(file) ?? undefined;
}
