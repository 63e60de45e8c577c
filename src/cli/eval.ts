import type { Command } from 'commander';
import type { BrokenSample } from '../data/index.ts';
import type { RetrievalSettings } from '../recipes/index.ts';
import type { CaptionModel, RetrievalProgress } from '../tasks/index.ts';
import { note, print, untilSignal } from './exit.ts';
import { addFields, settingsOf } from './flags.ts';
import { DATA_HELP } from './help.ts';
import { downloaded, withFolders } from './model.ts';
import { Progress } from './progress.ts';
import {
  addRunFlags,
  addWritingFields,
  checkChoosing,
  isStage1,
  type RunFlags,
  withBlip2,
  withStage1,
  writingSettings,
} from './writing.ts';

const WORDS: Readonly<Record<string, string>> = {
  checkpoint: 'of a run: last, best or a step',
  visionWeights: "of a run: its tower's weights, if they have been moved",
  device: 'cpu, cuda, cuda:1, …',
  dtype: 'of the products: float32, bfloat16',
  batchSize: 'pictures at a time',
  topK: 'candidates that matching ranks anew; 0: contrast alone',
  threads: "threads of an operator; libtorch's choice unless told",
  workers: 'threads that read pictures; processors − 1, at most 8, unless told',
  maxBroken: 'share of broken samples that is borne',
};

/** `blip2 eval …` */
export function addEval(program: Command): void {
  const command = program.command('eval').description('measure a trained model on a data set');
  const retrieval = command
    .command('retrieval')
    .description('find captions by pictures and pictures by captions: recall at 1, 5 and 10')
    .usage('--model <model> --data <source...>')
    .option(
      '--model <model>',
      "a run of stage 1, one of its checkpoints, or Hugging Face's Blip2ForImageTextRetrieval: a folder, or the Hub's owner/name",
    )
    .option('--data <source...>', 'pictures with captions, see below')
    .option('--images <folder>', 'where the pictures are that files name; beside the file unless told')
    .option('--skip-broken', SKIP_HELP)
    .option('--json', 'the figures as JSON')
    .addHelpText(
      'after',
      `${DATA_HELP}
${TEST_SPLIT}

Examples:
  blip2 eval retrieval --model run --data dataset_coco.json --images coco
  blip2 eval retrieval --model Salesforce/blip2-itm-vit-g --data pictures --dtype bfloat16 --json`,
    )
    .action(evalRetrieval);
  command.hook('preSubcommand', async (_, subcommand) => {
    if (subcommand !== retrieval) return;
    const { fieldsOf, retrievalDefaults } = await import('../recipes/index.ts');
    addFields(subcommand, fieldsOf(retrievalDefaults()), 'Settings:', WORDS);
  });
  addEvalCaption(command);
  addEvalVqa(command);
}

const TEST_SPLIT = "Of Karpathy's split, test is taken unless split=… says otherwise.";

const SKIP_HELP = 'leave out pictures that cannot be used, however many; the figures name them';

/** Pictures that are left out: told of at once, and named beside the figures. */
class Skipped {
  readonly #keys: string[] = [];

  readonly add = ({ key, problem }: BrokenSample): void => {
    this.#keys.push(key);
    note(`left out ${key}: ${problem.split('\n', 1)}`);
  };

  /** For results as JSON; nothing where there are none. */
  get fields(): { skipped?: readonly string[] } {
    return this.#keys.length === 0 ? {} : { skipped: this.#keys };
  }

  /** Goes behind how many were used. */
  get words(): string {
    return this.#keys.length === 0 ? '' : ` (left out: ${this.#keys.join(', ')})`;
  }
}

async function evalRetrieval({ json = false, skipBroken = false, ...flags }: Readonly<Record<string, unknown>>): Promise<void> {
  const skipped = new Skipped();
  const { measureRetrieval } = await import('../recipes/index.ts');
  const told = { ...settingsOf(flags), ...(skipBroken ? { maxBroken: 1 } : {}) } as unknown as RetrievalSettings;
  const settings = await withFolders(told, ['model', 'visionWeights']);
  const { pictures, texts, metrics } = await untilSignal(async (signal) => {
    const progress = new PhaseProgress();
    try {
      return await measureRetrieval(settings, {
        signal,
        onProgress: (now) => progress.show(now),
        onBroken: skipped.add,
      });
    } finally {
      progress.stop();
    }
  });
  if (json) {
    print(JSON.stringify({ pictures, texts: texts.length, ...skipped.fields, metrics }));
    return;
  }
  note(`${pictures} pictures, ${texts.length} captions${skipped.words}`);
  print(recallTable(metrics));
}

const UNITS: Readonly<Record<RetrievalProgress['phase'], string>> = {
  pictures: 'pictures',
  texts: 'texts',
  similarities: 'rows',
  matching: 'pairs',
};

/** Shows what an evaluation is at, phase by phase. */
class PhaseProgress {
  #phase: string | undefined;
  #progress: Progress | undefined;

  show({ phase, done, total }: RetrievalProgress): void {
    if (phase !== this.#phase) {
      this.stop();
      this.#phase = phase;
      this.#progress = new Progress(phase, UNITS[phase]);
      this.#progress.start(total ?? done);
    } else if (total === null) this.#progress?.start(done);
    this.#progress?.update(done);
  }

  stop(): void {
    this.#progress?.stop();
  }
}

/** Recall as papers print it. */
function recallTable(metrics: Readonly<Record<string, number>>): string {
  const ks = [...new Set(Object.keys(metrics).flatMap((name) => /Recall(\d+)$/.exec(name)?.[1] ?? []))];
  const row = (label: string, prefix: string): string => {
    const cells = ks.map((k) => (metrics[`${prefix}Recall${k}`] as number).toFixed(1).padStart(8));
    return label.padEnd(34) + cells.join('');
  };
  const reranked = 'contrastImageToTextRecall1' in metrics;
  return [
    ''.padEnd(34) + ks.map((k) => `R@${k}`.padStart(8)).join(''),
    row('text by picture', 'imageToText'),
    row('picture by text', 'textToImage'),
    ...(reranked ? [row('text by picture, contrast alone', 'contrastImageToText')] : []),
    ...(reranked ? [row('picture by text, contrast alone', 'contrastTextToImage')] : []),
  ].join('\n');
}

function addEvalCaption(parent: Command): void {
  const command = parent
    .command('caption')
    .description('caption a data set, and score the captions: BLEU, ROUGE-L, CIDEr-D')
    .usage('--model <model> --data <source...>')
    .requiredOption(
      '--model <model>',
      "a folder or the Hub's owner/name: Hugging Face's Blip2ForConditionalGeneration, or a run of stage 1",
    )
    .requiredOption('--data <source...>', 'pictures with captions, see below')
    .option('--images <folder>', 'where the pictures are that files name; beside the file unless told')
    .option('--prompt <text>', 'what each caption goes on from ("a photo of"); not with a run of stage 1')
    .option('--output <file>', "the captions, as COCO's evaluation reads them")
    .option('--skip-broken', SKIP_HELP)
    .option('--json', 'the figures as JSON')
    .addHelpText(
      'after',
      `${DATA_HELP}
${TEST_SPLIT}
Unless told, 5 beams and 8 (T5: 7) to 30 tokens, as the authors evaluate on COCO; with a run of stage 1, 3 beams and 10 to 30 tokens.

Example:
  blip2 eval caption --model Salesforce/blip2-opt-2.7b --data dataset_coco.json --images coco --output results.json`,
    )
    .action(evalCaption);
  addRunFlags(command);
  addWritingFields(command);
}

interface EvalFlags extends Readonly<Record<string, unknown>> {
  readonly model: string;
  readonly images?: string;
  readonly skipBroken?: boolean;
  readonly json?: boolean;
}

async function evalCaption(
  flags: EvalFlags &
    RunFlags & {
      readonly data: readonly string[];
      readonly prompt?: string;
      readonly output?: string;
    },
) {
  const {
    model,
    data,
    images,
    prompt,
    output,
    checkpoint: _,
    visionWeights: __,
    skipBroken = false,
    json = false,
    ...rest
  } = flags;
  const folder = await downloaded(model);
  const isRun = await isStage1(folder, prompt, flags);
  const { openDataset } = await import('../data/index.ts');
  const { evaluateCaptions } = await import('../tasks/index.ts');
  const { where, writing } = writingSettings(rest);
  const pictures = await openDataset(data, { grouped: true, splits: ['test'], ...(images === undefined ? {} : { images }) });
  const skipped = new Skipped();
  const skipping = skipBroken ? { onBroken: skipped.add, maxBroken: 1 } : {};
  const given = {
    ...writing,
    ...skipping,
    ...(prompt === undefined ? {} : { prompt }),
    ...(output === undefined ? {} : { output }),
  };
  const { results, metrics } = await shown('pictures', (signal, onProgress) => {
    const measure = (writer: CaptionModel) => evaluateCaptions(writer, pictures, { ...given, signal, onProgress });
    return isRun ? withStage1(folder, flags, where, measure) : withBlip2(folder, where, measure);
  });
  tell(
    json,
    { pictures: results.length, ...skipped.fields, metrics },
    `${results.length} pictures${skipped.words}`,
    metrics ?? {},
  );
}

function addEvalVqa(parent: Command): void {
  const command = parent
    .command('vqa')
    .description('ask the questions of VQAv2, OK-VQA, GQA or A-OKVQA, and score the answers')
    .usage('--model <model> --questions <file>')
    .requiredOption('--model <model>', "a folder or the Hub's owner/name: Hugging Face's Blip2ForConditionalGeneration")
    .requiredOption('--questions <file>', 'as their authors publish them; the format is found')
    .option('--annotations <file>', "VQAv2's and OK-VQA's answers")
    .option('--images <folder>', 'where the pictures are; beside the questions unless told')
    .option('--image-name <text>', "a picture's name, with {} for its id; as the authors have it unless told")
    .option('--template <text>', "how it is asked, with {} for the question; the paper's prompt unless told")
    .option('--answers <answer...>', 'answers to choose from, by their probability')
    .option('--output <file>', 'the answers, in the format of the authors')
    .option('--skip-broken', SKIP_HELP)
    .option('--json', 'the figures as JSON')
    .addHelpText(
      'after',
      `
Example:
  blip2 eval vqa --model Salesforce/blip2-flan-t5-xl --questions v2_OpenEnded_mscoco_val2014_questions.json \\
    --annotations v2_mscoco_val2014_annotations.json --images val2014 --output answers.json`,
    )
    .action(evalVqa);
  addWritingFields(command);
}

interface EvalVqaFlags extends EvalFlags {
  readonly questions: string;
  readonly annotations?: string;
  readonly imageName?: string;
  readonly template?: string;
  readonly answers?: readonly string[];
  readonly output?: string;
}

async function evalVqa(flags: EvalVqaFlags): Promise<void> {
  const {
    model,
    questions,
    annotations,
    images,
    imageName,
    template,
    answers,
    output,
    skipBroken = false,
    json = false,
    ...rest
  } = flags;
  const { openQuestions } = await import('../data/index.ts');
  const { evaluateVqa } = await import('../tasks/index.ts');
  const settings = writingSettings(rest);
  checkChoosing(answers, settings);
  const { where, writing } = settings;
  const folder = await downloaded(model);
  const set = openQuestions(questions, { annotations, images, imageName });
  const skipped = new Skipped();
  const skipping = skipBroken ? { onBroken: skipped.add, maxBroken: 1 } : {};
  const { answers: given, metrics } = await shown('questions', (signal, onProgress) =>
    withBlip2(folder, where, (blip2) =>
      evaluateVqa(blip2, set, { ...writing, ...skipping, template, answers, output, signal, onProgress }),
    ),
  );
  const { accuracy, ...by } = metrics ?? {};
  const kinds = Object.fromEntries(Object.values(by).flatMap((group) => Object.entries(group)));
  tell(
    json,
    { questions: given.length, ...skipped.fields, metrics },
    `${given.length} questions${skipped.words}`,
    accuracy === undefined ? {} : { accuracy, ...kinds },
  );
}

/** Runs an evaluation with its progress shown, until a signal comes. */
async function shown<T>(
  unit: string,
  body: (signal: AbortSignal, onProgress: (progress: { done: number; total: number }) => void) => Promise<T>,
): Promise<T> {
  const progress = new Progress(unit, unit);
  let total: number | undefined;
  try {
    return await untilSignal((signal) =>
      body(signal, (now) => {
        if (total === undefined) progress.start(now.total);
        total = now.total;
        progress.update(now.done);
      }),
    );
  } finally {
    progress.stop();
  }
}

/** The figures, for a program or a person. */
function tell(json: boolean, result: object, title: string, figures: object): void {
  if (json) {
    print(JSON.stringify(result));
    return;
  }
  note(title);
  for (const [name, value] of Object.entries(figures))
    print(
      `${name.padEnd(20)} ${(value as number).toFixed(name.startsWith('bleu') || name === 'rougeL' || name === 'ciderD' ? 4 : 2)}`,
    );
}
