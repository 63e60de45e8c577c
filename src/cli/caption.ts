import type { Command } from 'commander';
import type { ModelOptions } from '../pipeline/index.ts';
import type { Device } from '../tensor/index.ts';
import { print, UsageError, untilSignal } from './exit.ts';
import { addFields, parseValue, settingsOf } from './flags.ts';

const WORDS: Readonly<Record<string, string>> = {
  device: 'cpu, cuda, cuda:1, …',
  dtype: 'float32, bfloat16, float16, or auto: as the folder says',
  threads: "threads of an operator; libtorch's choice unless told",
  batchSize: 'pictures at a time',
  numBeams: 'beams; 5, with a run of stage 1 3, unless told',
  maxNewTokens: 'tokens at most; 30 unless told',
  doSample: 'draw tokens instead of taking the most likely ones',
  temperature: 'of the drawing',
  topK: 'draw from so many tokens',
  topP: 'draw from the most likely tokens with so much probability',
  seed: 'of the drawing',
};
const FIELDS = Object.keys(WORDS).map((name) => ({ name, value: null }));

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
Examples:
  blip2 caption beach.jpg --model blip2-opt-2.7b --dtype bfloat16
  blip2 caption --model run *.jpg --json > captions.jsonl`,
    )
    .action(caption);
  addFields(command, FIELDS, 'Settings:', WORDS);
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
  const options = settingsOf(rest);
  const isRun = modelKind(model, ['stage1', 'Blip2ForConditionalGeneration']) === 'stage1';
  if (isRun && prompt !== undefined)
    throw new UsageError('--prompt is for models with a language model, and this is a run of stage 1');
  if (!isRun && checkpoint !== undefined) throw new UsageError('--checkpoint is for runs, and this is a folder of Hugging Face');
  const captions = await untilSignal((signal) =>
    isRun
      ? byStage1(model, pictures, checkpoint, { ...options, signal })
      : byBlip2(model, pictures, prompt, { ...options, signal }),
  );
  for (const [i, text] of captions.entries()) {
    const image = pictures[i];
    if (json) print(JSON.stringify({ image, caption: text }));
    else print(pictures.length === 1 ? text : `${image}: ${text}`);
  }
}

type Options = Readonly<Record<string, unknown>> & { readonly signal: AbortSignal };

async function byBlip2(
  folder: string,
  pictures: readonly string[],
  prompt: string | undefined,
  options: Options,
): Promise<string[]> {
  const { Blip2 } = await import('../pipeline/index.ts');
  const { device, dtype, threads, ...rest } = options;
  const blip2 = await Blip2.fromPretrained(folder, { device, dtype, threads } as ModelOptions);
  try {
    return await blip2.caption(pictures, prompt === undefined ? rest : { ...rest, prompt });
  } finally {
    await blip2.close();
  }
}

async function byStage1(
  folder: string,
  pictures: readonly string[],
  checkpoint: string | undefined,
  options: Options,
): Promise<string[]> {
  const { openStage1 } = await import('../recipes/index.ts');
  const { setThreads } = await import('../tensor/index.ts');
  const { device, dtype: _, threads, ...rest } = options;
  if (threads !== undefined) setThreads(threads as number);
  const stage1 = openStage1(folder, {
    ...(device === undefined ? {} : { device: device as Device }),
    ...(checkpoint === undefined ? {} : { checkpoint: parseValue(checkpoint) as string }),
  });
  try {
    return await stage1.caption(pictures, rest);
  } finally {
    stage1.dispose();
  }
}
