import type { Command } from 'commander';
import type { Device } from '../tensor/index.ts';
import { print, UsageError, untilSignal } from './exit.ts';
import { parseValue } from './flags.ts';
import { addWritingFields, type WritingSettings, withBlip2, writingSettings } from './writing.ts';

/** `blip2 caption …` */
export function addCaption(program: Command): void {
  const command = program
    .command('caption')
    .description('say what is in pictures')
    .argument('<picture...>', 'files')
    .requiredOption('--model <folder>', "Hugging Face's Blip2ForConditionalGeneration, or a run of stage 1")
    .option('--prompt <text>', 'what each caption goes on from, such as "a photo of"; not with a run of stage 1')
    .option('--checkpoint <which>', 'of a run: last, best or a step')
    .option('--json', 'a JSON object a line: { "image": …, "caption": … }')
    .addHelpText(
      'after',
      `
Unless told, 5 beams and at most 30 tokens; with a run of stage 1, 3 beams and 10 to 30 tokens.

Examples:
  blip2 caption beach.jpg --model blip2-opt-2.7b --dtype bfloat16
  blip2 caption --model run *.jpg --json > captions.jsonl`,
    )
    .action(caption);
  addWritingFields(command);
}

interface CaptionFlags extends Readonly<Record<string, unknown>> {
  readonly model: string;
  readonly prompt?: string;
  readonly checkpoint?: string;
  readonly json?: boolean;
}

async function caption(pictures: readonly string[], flags: CaptionFlags): Promise<void> {
  const { model, prompt, checkpoint, json = false, ...rest } = flags;
  const { modelKind } = await import('../recipes/index.ts');
  const settings = writingSettings(rest);
  const isRun = modelKind(model, ['stage1', 'Blip2ForConditionalGeneration']) === 'stage1';
  if (isRun && prompt !== undefined)
    throw new UsageError('--prompt is for models with a language model, and this is a run of stage 1');
  if (!isRun && checkpoint !== undefined) throw new UsageError('--checkpoint is for runs, and this is a folder of Hugging Face');
  const captions = await untilSignal((signal) => {
    if (isRun) return byStage1(model, pictures, checkpoint, settings, signal);
    const options = { ...settings.writing, signal, ...(prompt === undefined ? {} : { prompt }) };
    return withBlip2(model, settings.where, (blip2) => blip2.caption(pictures, options));
  });
  for (const [i, text] of captions.entries()) {
    const image = pictures[i];
    if (json) print(JSON.stringify({ image, caption: text }));
    else print(pictures.length === 1 ? text : `${image}: ${text}`);
  }
}

async function byStage1(
  folder: string,
  pictures: readonly string[],
  checkpoint: string | undefined,
  { where, writing }: WritingSettings,
  signal: AbortSignal,
): Promise<string[]> {
  const { openStage1 } = await import('../recipes/index.ts');
  const { setThreads } = await import('../tensor/index.ts');
  const { device = 'cpu' as Device, threads } = where;
  if (threads !== undefined) setThreads(threads);
  const which = checkpoint === undefined ? 'last' : (parseValue(checkpoint) as string | number);
  const stage1 = openStage1(folder, { device, checkpoint: which });
  try {
    return await stage1.caption(pictures, { ...writing, signal });
  } finally {
    stage1.dispose();
  }
}
