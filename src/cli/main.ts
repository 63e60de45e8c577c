#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import { Blip2Error } from '../native/errors.ts';
import { packageRoot } from '../native/locate.ts';
import { doctor } from './doctor.ts';
import { setup } from './setup.ts';

const { version } = JSON.parse(readFileSync(path.join(packageRoot, 'package.json'), 'utf8')) as { version: string };
const say = (line: string) => void process.stdout.write(`${line}\n`);

const program = new Command('blip2').description('BLIP-2 on libtorch').version(version);

program
  .command('setup')
  .description('find or fetch libtorch, and build the addon for it where no prebuilt one fits')
  .option('--cuda', 'with CUDA and all the libraries that it needs', false)
  .option('--from <place...>', 'wheels, the C++ archive, or a folder of them, instead of a download', [])
  .option('--sha256 <hex...>', 'digests to accept for files that are not the known ones', [])
  .action((options: { cuda: boolean; from: string[]; sha256: string[] }) => setup(options, say));

program
  .command('doctor')
  .description('explain what this installation found, and what is wrong with it')
  .action(() => {
    process.exitCode = doctor(say) ? 0 : 1;
  });

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof Blip2Error)) throw error;
  process.stderr.write(`blip2: ${error.message}\n`);
  process.exitCode = 1;
}
