#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import { packageRoot } from '../native/locate.ts';
import { addCaption } from './caption.ts';
import { addChat } from './chat.ts';
import { addEval } from './eval.ts';
import { exitCodes, note, print, reported } from './exit.ts';
import { addExport } from './export.ts';
import { addTrain } from './train.ts';
import { addVqa } from './vqa.ts';

const { version } = JSON.parse(readFileSync(path.join(packageRoot, 'package.json'), 'utf8')) as { version: string };

const program = new Command('blip2')
  .description('BLIP-2 on libtorch: train it, and let it look at pictures')
  .version(version)
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error:/, 'blip2:')) })
  .configureHelp({ subcommandTerm: (command) => command.name() })
  .showHelpAfterError('(--help says more)')
  .addHelpText('after', '\nExit status: 0 done, 1 failed, 2 wrong call, 130 and 143 ended by SIGINT and SIGTERM.');

addTrain(program);
addExport(program);
addEval(program);
addCaption(program);
addVqa(program);
addChat(program);

program
  .command('setup')
  .description('find or fetch libtorch, and build the addon for it where no prebuilt one fits')
  .option('--cuda', 'with CUDA and all the libraries that it needs', false)
  .option('--from <place...>', 'wheels, the C++ archive, or a folder of them, instead of a download', [])
  .option('--sha256 <hex...>', 'digests to accept for files that are not the known ones', [])
  .option('--json', 'what is there in the end, as JSON on standard output', false)
  .action(async ({ json, ...options }: { cuda: boolean; from: string[]; sha256: string[]; json: boolean }) => {
    const { setup } = await import('./setup.ts');
    const result = await setup(options, json ? note : print);
    if (json) print(JSON.stringify(result));
  });

program
  .command('doctor')
  .description('explain what this installation found, and what is wrong with it')
  .option('--json', 'the same as JSON on standard output', false)
  .action(async ({ json }: { json: boolean }) => {
    const { doctor } = await import('./doctor.ts');
    const report = doctor(json ? note : print);
    if (json) print(JSON.stringify(report));
    process.exitCode = report.works ? exitCodes.done : exitCodes.failed;
  });

// Whoever reads the output may have seen enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(exitCodes.SIGPIPE);
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = reported(error);
}
