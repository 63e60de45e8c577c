import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cpuFeatures, cpuInfo, hasFastBfloat16 } from '../native/bfloat16.ts';
import { noDeviceReason } from '../native/cuda.ts';
import { builtAddons, builtFiles, type Candidate, candidates, packageRoot, prebuildDirectory } from '../native/locate.ts';
import { type Log, readStamp, sourceDigest } from './build.ts';
import type { Probe } from './probe.ts';

/** Something that is wrong, or could be better, and what to do about it. */
interface Finding {
  /** Whether nothing works before it is mended. */
  readonly broken: boolean;
  readonly what: string;
  readonly remedy: string;
}

/** What `doctor` found, for a program. */
export interface Report {
  readonly works: boolean;
  readonly findings: readonly Finding[];
  readonly node: { readonly version: string; readonly napi: string; readonly path: string };
  readonly platform: string;
  /** Null where there is none. */
  readonly glibc: string | null;
  readonly package: string;
  /** In the order of resolution. */
  readonly libtorch: readonly Omit<Candidate, 'addons'>[];
  readonly addons: readonly Addon[];
  readonly loads: { readonly builtFor: string } | { readonly problem: string };
  readonly threads: number | null;
  readonly cores: number;
  readonly cpu: { readonly model: string; readonly features: readonly string[] | null; readonly kernels: string | null };
  readonly cuda: { readonly devices: number; readonly reason: string | null; readonly driver: string | null };
}

/** An addon that is there. */
interface Addon {
  readonly kind: 'local build' | 'prebuilt';
  readonly version: string;
  readonly file: string;
  /** Null of what `setup` has not built. */
  readonly built: string | null;
  /** Whether its sources have changed since. */
  readonly stale: boolean;
}

/** Explains the installation, line by line, and returns the same as data. */
export function doctor(log: Log): Report {
  const findings: Finding[] = [];
  const note = (broken: boolean, what: string, remedy: string) => findings.push({ broken, what, remedy });
  const tried = candidates();
  const host = describeHost(log, note);
  describeLibtorch(tried, log, note);
  const addons = describeAddons(log, note);
  const probe = runProbe();
  const loads = describeLoad(probe, tried, log, note);
  const cpu = describeCpu(probe, log, note);
  const cuda = describeCuda(probe, log, note);
  const broken = findings.filter((finding) => finding.broken);
  log(
    broken.length === 0
      ? '\nEverything needed is there.'
      : `\n${broken.length === 1 ? 'One thing is' : `${broken.length} things are`} wrong.`,
  );
  for (const { broken: bad, what, remedy } of findings) log(`  ${bad ? 'problem' : 'hint'}: ${what}\n    remedy: ${remedy}`);
  const libtorch = tried.map(({ addons: _, ...candidate }) => candidate);
  return { works: broken.length === 0, findings, ...host, package: packageRoot, libtorch, addons, loads, ...cpu, cuda };
}

type Note = (broken: boolean, what: string, remedy: string) => void;

function line(log: Log, label: string, text: string): void {
  log(`${label.padEnd(10)}${text}`);
}

function describeHost(log: Log, note: Note): Pick<Report, 'node' | 'platform' | 'glibc'> {
  line(log, 'node', `${process.version}, Node-API ${process.versions.napi}, ${process.execPath}`);
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) note(true, `node ${process.version} is too old`, 'use Node 20.19 or newer');
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const libc = header?.glibcVersionRuntime;
  line(log, 'platform', `${process.platform}-${process.arch}${libc === undefined ? '' : `, glibc ${libc}`}`);
  if (process.platform === 'linux' && libc === undefined) {
    note(
      true,
      'this Linux has no glibc, and PyTorch publishes nothing for others',
      'use a distribution with glibc, such as Debian',
    );
  } else if (libc !== undefined && Number(libc.split('.')[1]) < 28) {
    note(true, `glibc ${libc} is too old for libtorch, which needs 2.28`, 'use a newer distribution');
  }
  line(log, 'package', packageRoot);
  const node = { version: process.version, napi: process.versions.napi ?? '', path: process.execPath };
  return { node, platform: `${process.platform}-${process.arch}`, glibc: libc ?? null };
}

function describeLibtorch(tried: readonly Candidate[], log: Log, note: Note): void {
  log('libtorch  in the order of resolution');
  for (const { source, directory, version, taken, reason } of tried) {
    log(
      `  ${taken ? 'taken      ' : 'passed over'} ${source}: ${directory}${version === undefined ? '' : ` (${version})`}: ${reason}`,
    );
    if (source === 'LIBTORCH' && !taken) note(true, `LIBTORCH is set but passed over: ${reason}`, passedOverRemedy(version));
  }
  if (tried.some(({ taken }) => taken)) return;
  note(
    true,
    'there is no libtorch that an addon was built for',
    tried.some(({ version }) => version !== undefined)
      ? '`npx blip2 setup` builds the addon for the first libtorch that is there'
      : '`npx blip2 setup` fetches libtorch and builds the addon',
  );
}

function passedOverRemedy(version: string | undefined): string {
  if (version === undefined) return 'set it to the folder of torch, with lib/ in it, or unset it';
  return '`npx blip2 setup` builds the addon for it; or unset it';
}

function describeAddons(log: Log, note: Note): Addon[] {
  log('addon');
  const addons = builtAddons().map(({ version, file }): Addon => {
    const stamp = readStamp(file);
    const stale = stamp !== undefined && stamp.digest !== sourceDigest(version);
    const kind = file.startsWith(prebuildDirectory()) ? 'prebuilt' : 'local build';
    return { kind, version, file, built: stamp === undefined ? null : `${stamp.built} by node ${stamp.node}`, stale };
  });
  if (addons.length === 0) log(`  none in ${prebuildDirectory()} or ${path.join(packageRoot, 'build/Release')}`);
  for (const { kind, version, file, built, stale } of addons) {
    const when = built === null ? '' : `, built ${built}`;
    log(`  ${kind} for libtorch ${version}: ${file}${when}${stale ? ', its sources have changed since' : ''}`);
    if (stale) note(false, `${file} is older than its sources`, '`npx blip2 setup` (in a clone `npm run build`) builds it anew');
  }
  log(`  opener: ${builtFiles('opener.node')[0] ?? 'missing'}`);
  return addons;
}

function runProbe(): Probe {
  const file = fileURLToPath(new URL('./probe.js', import.meta.url));
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8' });
  try {
    return JSON.parse(stdout) as Probe;
  } catch {
    return { problem: `the process that loaded it ended with ${signal ?? `exit status ${status}`}\n${stderr.trim()}` };
  }
}

function describeLoad(probe: Probe, tried: readonly Candidate[], log: Log, note: Note): Report['loads'] {
  if (probe.problem === undefined) {
    line(log, 'loads', `yes, built for libtorch ${probe.builtFor}`);
    return { builtFor: probe.builtFor ?? '' };
  }
  if (!tried.some(({ taken }) => taken)) {
    // The loader would only repeat what stands above.
    const problem = 'for want of libtorch or addon';
    line(log, 'loads', `no, ${problem}`);
    return { problem };
  }
  // The loader's errors point to this very command.
  const problem = probe.problem.replace(/[;\s]*`npx blip2 doctor` says more\.?/g, '');
  line(log, 'loads', `no: ${problem}`);
  note(true, 'the addon does not load', loadRemedy(probe.problem));
  return { problem };
}

function loadRemedy(problem: string): string {
  if (/lib(cudart|cupti|cu\w+|nv\w+)\.so/.test(problem)) {
    return "this libtorch lacks NVIDIA's libraries beside it: unset LIBTORCH and run `npx blip2 setup`";
  }
  if (/opener\.node is missing|undefined symbol|was built for/.test(problem)) return 'remove build/ and run `npx blip2 setup`';
  if (/GLIBC|GLIBCXX/.test(problem))
    return 'libstdc++ or glibc is too old for this build: remove build/ and run `npx blip2 setup`';
  return 'remove the cache (or the LIBTORCH) named above if it is damaged, and run `npx blip2 setup`';
}

function describeCpu(probe: Probe, log: Log, note: Note): Pick<Report, 'threads' | 'cores' | 'cpu'> {
  const cores = availableParallelism();
  if (probe.threads !== undefined) {
    line(log, 'threads', `${probe.threads} for libtorch, of ${cores} cores`);
    if (probe.threads < cores / 2)
      note(false, `libtorch uses ${probe.threads} of ${cores} cores`, 'unset OMP_NUM_THREADS, or raise it');
  }
  const info = cpuInfo();
  const flags = cpuFeatures(info);
  const features = ['avx2', 'avx512f', 'avx512_bf16', 'amx_bf16'];
  const seen =
    flags.size === 0 ? 'features unknown' : features.map((name) => `${name} ${flags.has(name) ? 'yes' : 'no'}`).join(', ');
  const kernels = probe.capability === undefined ? '' : `; libtorch's kernels: ${probe.capability}`;
  const model = /^model name\s*:\s*(.*)$/m.exec(info)?.[1] ?? process.arch;
  line(log, 'cpu', `${model}: ${seen}${kernels}`);
  if (info.includes('AuthenticAMD') && flags.has('avx2') && process.env.BLIP2_MKL !== 'fast') {
    note(false, "MKL runs its slower kernels on AMD's processors", 'set BLIP2_MKL=fast (docs/building.md says what that does)');
  }
  if (flags.size > 0 && !hasFastBfloat16('cpu', flags)) {
    note(false, 'this CPU has no fast bfloat16 (AMX or AVX-512 BF16)', "keep the dtype 'float32' on the CPU");
  }
  const known = flags.size === 0 ? null : features.filter((name) => flags.has(name));
  return { threads: probe.threads ?? null, cores, cpu: { model, features: known, kernels: probe.capability ?? null } };
}

function describeCuda(probe: Probe, log: Log, note: Note): Report['cuda'] {
  const driver = existsSync('/proc/driver/nvidia/version')
    ? /Module\s+([\d.]+)/.exec(readFileSync('/proc/driver/nvidia/version', 'utf8'))?.[1]
    : undefined;
  const noDevice = noDeviceReason(process.env);
  const reason = probe.problem === undefined ? probe.cudaReason : (noDevice ?? 'not asked, as the addon does not load');
  const text = reason === undefined ? `${probe.deviceCount} device(s)` : `not available: ${reason}`;
  line(log, 'cuda', `${text}${driver === undefined ? '' : ` (driver ${driver})`}`);
  const found = { devices: reason === undefined ? (probe.deviceCount ?? 0) : 0, reason: reason ?? null, driver: driver ?? null };
  // On a host without a GPU this is how it should be.
  if (noDevice !== undefined || probe.cudaReason === undefined) return found;
  const remedy = /cannot open shared object|without CUDA/.test(probe.cudaReason)
    ? '`npx blip2 setup --cuda` fetches libtorch with CUDA and all its libraries'
    : 'install or update the NVIDIA driver (CUDA 13 needs 580 or newer)';
  note(false, 'there is an NVIDIA device, but CUDA is not available', remedy);
  return found;
}
