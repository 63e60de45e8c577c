import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Addon } from './addon.ts';
import { cuda, noDeviceReason } from './cuda.ts';
import { SetupError } from './errors.ts';
import { addonFile, builtAddons, type Candidate, candidates, libraryFile } from './locate.ts';

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

function load({ directory, version, addon: file }: Candidate): Addon {
  const opener = addonFile('opener.node');
  if (opener === undefined || file === undefined) throw new SetupError('opener.node is missing: run `npx blip2 setup`');
  try {
    const { open } = require(opener) as { open: Open };
    for (const name of ['c10', 'torch_cpu']) {
      const problem = open(libraryFile(directory, name));
      if (problem !== null) throw new Error(problem);
    }
    openCuda(directory, open);
    const loaded = require(file) as Addon;
    if (!loaded.builtFor.startsWith(version ?? '?')) throw new Error(`it was built for libtorch ${loaded.builtFor}`);
    return loaded;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SetupError(
      `${file} could not be loaded with libtorch ${version} of ${directory}: ${why}\n\`npx blip2 doctor\` says more.`,
      {
        cause,
      },
    );
  }
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
