// The steps that every command of run.mjs begins with, each skipped where nothing has changed. Plain Node without dependencies: the first
// step is what installs them.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';

export const root = path.dirname(import.meta.dirname);

/** Runs a command in the root with its output shown, and returns its exit status. */
export function show(command, args, options = {}) {
  const { status, error, signal } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (error) throw error;
  return status ?? `killed by ${signal}`;
}

/** As `show`, but ends the program with the command's status where it fails. */
export function must(what, command, args, options) {
  const status = show(command, args, options);
  if (status === 0) return;
  console.error(`${what} failed (exit status ${status})`);
  process.exit(typeof status === 'number' ? status : 1);
}

/** The script of a tool in node_modules. */
export function tool(file) {
  return path.join(root, 'node_modules', file);
}

/** Installs what package-lock.json says, unless exactly that is installed. */
export function install() {
  if (isInstalled()) return;
  console.log('installing npm dependencies');
  // Not `npm ci`: it refuses a lock file without the optional packages of platforms that a mirror of the registry does not carry.
  must('npm install', 'npm', ['install', '--no-save', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund']);
}

function isInstalled() {
  const installed = packagesIn('node_modules/.package-lock.json');
  const wanted = packagesIn('package-lock.json');
  return Object.entries(wanted).every(
    ([name, entry]) => name === '' || entry.optional || entry.peer || installed[name]?.version === entry.version,
  );
}

function packagesIn(file) {
  try {
    return JSON.parse(readFileSync(path.join(root, file), 'utf8')).packages;
  } catch {
    return {};
  }
}

/** Compiles one of the TypeScript projects; the compiler itself skips what has not changed. Returns the exit status. */
export function compile(project) {
  if (project === 'tsconfig.json') prune();
  return show(process.execPath, [tool('typescript/bin/tsc'), '-p', project]);
}

// What was compiled from a file that is no longer there would still be tested and shipped.
function prune() {
  const dist = path.join(root, 'dist');
  if (!existsSync(dist)) return;
  for (const name of readdirSync(dist, { recursive: true })) {
    const source = path.join(root, 'src', name.replace(/(\.d\.ts|\.js|\.js\.map)$/, '.ts'));
    if (/\.(ts|js|map)$/.test(name) && !existsSync(source)) rmSync(path.join(dist, name));
  }
}

/** Finds or fetches libtorch and builds the addon with node-gyp. */
export function setup() {
  must('setup', process.execPath, ['dist/cli/main.js', 'setup']);
}

/** Builds the addon a second way, by cmake-js into a folder of its own, and loads it. Returns the exit status. */
export function buildWithCmake() {
  const out = path.join(root, 'build/cmake');
  // The one in use; before anything was built, the first that is there.
  const script = `const all = (await import('./dist/native/locate.js')).candidates();
    console.log(JSON.stringify(all.find(({ taken }) => taken) ?? all.find(({ version }) => version)));`;
  const located = spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd: root, encoding: 'utf8' });
  if (located.status !== 0 || located.stdout.trim() === 'undefined') {
    console.error(located.stderr || 'there is no libtorch: run `npx blip2 setup`, or set LIBTORCH to its folder');
    return located.status || 1;
  }
  const { directory, version } = JSON.parse(located.stdout);
  const env = { ...process.env, LIBTORCH: directory };
  mkdirSync(out, { recursive: true });
  const args = [
    tool('cmake-js/bin/cmake-js'),
    'compile',
    '--out',
    'build/cmake',
    '--parallel',
    process.env.JOBS ?? '2',
    '--log-level',
    'warn',
  ];
  return show(process.execPath, args, { env }) || show(process.execPath, ['-e', trial, directory, version, out]);
}

// Run as a process of its own, with libtorch's folder, its version and the folder of the build: opens libtorch as the package does, loads the
// addon that cmake-js built, and asks it something that libtorch answers.
const trial = `
const [directory, version, out] = process.argv.slice(1);
const suffix = process.platform === 'darwin' ? '.dylib' : '.so';
const { open } = require(out + '/Release/opener.node');
for (const name of ['c10', 'torch_cpu']) {
  const problem = open(directory + '/lib/lib' + name + suffix);
  if (problem !== null) throw new Error(problem);
}
const addon = require(out + '/Release/blip2-torch-' + version + '.node');
if (!addon.builtFor.startsWith(version)) throw new Error('built for libtorch ' + addon.builtFor + ', not ' + version);
console.log('the addon of cmake-js loads: libtorch ' + addon.builtFor + ', kernels ' + addon.cpuCapability());
`;
