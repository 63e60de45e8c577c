// `npm run demo`, `npm test`, `npm run bench`, `npm run build`: each works on a bare clone, and starts in seconds the second time.

import path from 'node:path';
import { buildWithCmake, compile, install, root, setup, show } from './steps.mjs';

const [command, ...args] = process.argv.slice(2);
process.chdir(root);

const commands = {
  demo: () => example('demo/main.js'),
  'demo:encoders': () => example('encoders/main.js'),
  'demo:captioner': () => example('captioner/main.js'),
  async bench() {
    prepare();
    return show(process.execPath, ['--expose-gc', 'bench/run.mjs', ...args]);
  },
  async build() {
    install();
    const types = compile('tsconfig.json');
    if (args.join(' ') === '--with cmake') return buildWithCmake() || types;
    setup();
    return types;
  },
  async compile() {
    install();
    return compile('tsconfig.json');
  },
  async test() {
    prepare();
    return (await import('./test.mjs')).test(args);
  },
};

/** Runs a program of examples/ with the arguments. */
function example(file) {
  prepare();
  if (compile('tsconfig.examples.json') !== 0) process.exit(1);
  process.env.BLIP2_MKL ??= 'fast'; // more steps in the same minutes on AMD's processors; docs/building.md
  return show(process.execPath, ['--expose-gc', path.join('build/examples', file), ...args]);
}

function prepare() {
  install();
  if (compile('tsconfig.json') !== 0) process.exit(1);
  setup();
}

if (!Object.hasOwn(commands, command)) {
  console.error(`usage: node scripts/run.mjs ${Object.keys(commands).join('|')} [arguments]`);
  process.exit(2);
}
process.exitCode = await commands[command]();
