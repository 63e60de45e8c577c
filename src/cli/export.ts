import fs from 'node:fs';
import type { Command } from 'commander';
import { FileError } from '../native/errors.ts';
import { readJsonObject } from '../native/files.ts';
import type { ExportedLavis, ExportedRun, ExportLavisOptions, ExportRunOptions } from '../recipes/index.ts';
import { note, print, UsageError } from './exit.ts';
import { flagOf, parseValue } from './flags.ts';
import { downloaded, withFolders } from './model.ts';

/** `blip2 export …` */
export function addExport(program: Command): void {
  program
    .command('export')
    .description("write what a run, or LAVIS's second stage, has trained for Hugging Face and blip2 caption, or for LAVIS")
    .argument('<run>', "the folder of a run, or of one of its checkpoints; or LAVIS's file, such as blip2_pretrained_opt2.7b.pth")
    .requiredOption('--to <folder>', 'the folder to be made; with --format lavis the file')
    .option('--overwrite', 'replace what is in the folder, or the file, of --to')
    .option('--checkpoint <which>', 'of a run: last, best or a step (last)')
    .option('--format <name>', "of a run: hf, Hugging Face's folder; lavis, LAVIS's names, of stage 1 (hf)")
    .option('--dtype <name>', 'of the weights: float32, bfloat16, float16')
    .option(
      '--language-model <folder>',
      "of LAVIS's file: the frozen language model that it was trained with, or owner/name of the Hub; of a run: if it has been moved",
    )
    .option(
      '--vision-weights <path>',
      "of LAVIS's file: the frozen tower's weights, such as eva_vit_g.pth, unless it has a tower itself; of a run: if they have been moved",
    )
    .option('--vision <name>', "of LAVIS's file: the tower, eva-vit-g unless told, or a folder of Hugging Face")
    .option('--tokenizer <folder>', "of LAVIS's file: of another tokenizer than the language model's")
    .option('--config <file>', "of LAVIS's file: fields of stage 2's recipe that it does not say, as JSON")
    .option('--json', 'what was written, as JSON on standard output')
    .addHelpText(
      'after',
      `
A run of stage 1 becomes a Blip2ForImageTextRetrieval, one of stage 2 a Blip2ForConditionalGeneration, and so does LAVIS's
file of stage 2, in which the frozen models are not.

Examples:
  blip2 export run2 --to my-blip2 --dtype bfloat16
  blip2 export run --to stage1.safetensors --format lavis --checkpoint best
  blip2 export blip2_pretrained_opt2.7b.pth --vision-weights eva_vit_g.pth --language-model facebook/opt-2.7b --to my-blip2`,
    )
    .action(exportModel);
}

type Flags = Readonly<Record<string, string | boolean | undefined>>;

const OF_RUNS = ['checkpoint', 'format'];
const OF_LAVIS = ['vision', 'tokenizer', 'config'];

async function exportModel(
  source: string,
  { to, overwrite = false, json = false, ...flags }: Flags & { to: string; overwrite?: boolean; json?: boolean },
): Promise<void> {
  if (!fs.existsSync(source)) throw new FileError(source, 'there is no such file or folder');
  const isFile = fs.statSync(source, { throwIfNoEntry: false })?.isFile() ?? false;
  const odd = (isFile ? OF_RUNS : OF_LAVIS).find((name) => flags[name] !== undefined);
  if (odd !== undefined) {
    throw new UsageError(`${flagOf(odd)} is for ${isFile ? 'runs, and this is a file' : "LAVIS's files, and this is none"}`);
  }
  if (!overwrite) checkFree(to);
  const exported = isFile ? await exportFile(source, to, flags) : await exportFolder(source, to, flags);
  note(`written: ${to}`);
  if (json) print(JSON.stringify(exported));
}

/** @throws FileError where there is something that would be replaced, such as another model */
function checkFree(target: string): void {
  const stat = fs.statSync(target, { throwIfNoEntry: false });
  if (stat === undefined || (stat.isDirectory() && fs.readdirSync(target).length === 0)) return;
  const there = stat.isDirectory() ? 'has files in it' : 'is there already';
  throw new FileError(target, `${there}: expected a new name or an empty folder for --to, or --overwrite`);
}

async function exportFolder(run: string, to: string, { checkpoint, ...rest }: Flags): Promise<ExportedRun> {
  const { exportRun } = await import('../recipes/index.ts');
  const own = await withFolders(rest, ['languageModel', 'visionWeights']);
  const options = checkpoint === undefined ? own : { ...own, checkpoint: parseValue(checkpoint as string) };
  return exportRun(run, to, options as ExportRunOptions);
}

async function exportFile(checkpoint: string, to: string, flags: Flags): Promise<ExportedLavis> {
  const { languageModel, visionWeights, tokenizer, config, ...rest } = flags as Readonly<Record<string, string | undefined>>;
  if (languageModel === undefined) {
    throw new UsageError(
      "LAVIS's file has no language model: expected the folder of the one that it was trained with for --language-model",
    );
  }
  const { exportLavis } = await import('../recipes/index.ts');
  const options = { ...(config === undefined ? {} : readJsonObject(config)), ...rest } as ExportLavisOptions;
  return exportLavis({ checkpoint, languageModel: await downloaded(languageModel), visionWeights, tokenizer }, to, options);
}
