import type { Command } from 'commander';
import type { ExportRunOptions } from '../recipes/index.ts';
import { note, print } from './exit.ts';
import { parseValue } from './flags.ts';

/** `blip2 export …` */
export function addExport(program: Command): void {
  program
    .command('export')
    .description('write what a run has trained for Hugging Face, for blip2 caption, vqa and chat, or for LAVIS')
    .argument('<run>', 'the folder of a run, or of one of its checkpoints')
    .requiredOption('--to <folder>', 'the folder to be made; with --format lavis the file')
    .option('--checkpoint <which>', 'last, best or a step (last)')
    .option('--format <name>', "hf: Hugging Face's folder; lavis: LAVIS's names, of stage 1 (hf)")
    .option('--dtype <name>', 'of the weights: float32, bfloat16, float16')
    .option('--json', 'what was written, as JSON on standard output')
    .addHelpText(
      'after',
      `
A run of stage 1 becomes a Blip2ForImageTextRetrieval, one of stage 2 a Blip2ForConditionalGeneration.

Examples:
  blip2 export run2 --to my-blip2 --dtype bfloat16
  blip2 export run --to stage1.safetensors --format lavis --checkpoint best`,
    )
    .action(exportModel);
}

async function exportModel(
  run: string,
  flags: { to: string; checkpoint?: string; format?: string; dtype?: string; json?: boolean },
): Promise<void> {
  const { exportRun } = await import('../recipes/index.ts');
  const { to, checkpoint, json = false, ...rest } = flags;
  const options = checkpoint === undefined ? rest : { ...rest, checkpoint: parseValue(checkpoint) };
  const exported = exportRun(run, to, options as ExportRunOptions);
  note(`written: ${to}`);
  if (json) print(JSON.stringify(exported));
}
