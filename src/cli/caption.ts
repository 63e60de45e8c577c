import type { Command } from 'commander';
import { print, untilSignal } from './exit.ts';
import { DEFAULT_HELP, modelFolder } from './model.ts';
import {
  addRunFlags,
  addWritingFields,
  checkPictures,
  isStage1,
  type RunFlags,
  withBlip2,
  withStage1,
  writingSettings,
} from './writing.ts';

/** `blip2 caption …` */
export function addCaption(program: Command): void {
  const command = program
    .command('caption')
    .description('say what is in pictures')
    .argument('<picture...>', 'files')
    .option(
      '--model <model>',
      "a folder or the Hub's owner/name: Hugging Face's Blip2ForConditionalGeneration, or a run of stage 1",
    )
    .option('--prompt <text>', 'what each caption goes on from, such as "a photo of"; not with a run of stage 1')
    .option('--json', 'a JSON object a line: { "image": …, "caption": … }')
    .addHelpText(
      'after',
      `
${DEFAULT_HELP}
Unless told, 5 beams and 1 to 30 tokens; with a run of stage 1, 3 beams and 10 to 30 tokens.

Examples:
  blip2 caption beach.jpg
  blip2 caption beach.jpg --model Salesforce/blip2-flan-t5-xl --dtype bfloat16
  blip2 caption --model run *.jpg --json > captions.jsonl`,
    )
    .action(caption);
  addRunFlags(command);
  addWritingFields(command);
}

interface CaptionFlags extends Readonly<Record<string, unknown>>, RunFlags {
  readonly model?: string;
  readonly prompt?: string;
  readonly json?: boolean;
}

async function caption(pictures: readonly string[], flags: CaptionFlags): Promise<void> {
  const { model, prompt, checkpoint: _, visionWeights: __, json = false, ...rest } = flags;
  const settings = writingSettings(rest);
  checkPictures(pictures);
  const folder = await modelFolder(model);
  const isRun = await isStage1(folder, prompt, flags);
  const captions = await untilSignal((signal) => {
    const { where, writing } = settings;
    if (isRun) return withStage1(folder, flags, where, (stage1) => stage1.caption(pictures, { ...writing, signal }));
    const options = { ...settings.writing, signal, ...(prompt === undefined ? {} : { prompt }) };
    return withBlip2(folder, settings.where, (blip2) => blip2.caption(pictures, options));
  });
  for (const [i, text] of captions.entries()) {
    const image = pictures[i];
    if (json) print(JSON.stringify({ image, caption: text }));
    else print(pictures.length === 1 ? text : `${image}: ${text}`);
  }
}
