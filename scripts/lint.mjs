// Checks (or with --write, corrects) the style of everything: Biome for TypeScript, JavaScript and JSON, clang-format for C++.
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { root, show, tool } from './steps.mjs';

const write = process.argv.includes('--write');
const biome = [
  tool('@biomejs/biome/bin/biome'),
  write ? 'check' : 'ci',
  ...(write ? ['--write'] : []),
  '--error-on-warnings',
  '.',
];
const sources = readdirSync(path.join(root, 'native'), { recursive: true })
  .filter((name) => /\.(cc|h)$/.test(name))
  .map((name) => path.join('native', name));
const clangFormat = [tool('clang-format/index.js'), ...(write ? ['-i'] : ['--dry-run', '--Werror']), ...sources];

const statuses = [biome, clangFormat].map((args) => show(process.execPath, args));
process.exitCode = statuses.every((status) => status === 0) ? 0 : 1;
