import type { Command } from 'commander';
import type { RetrievalSettings } from '../recipes/index.ts';
import type { RetrievalProgress } from '../tasks/index.ts';
import { note, print, untilSignal } from './exit.ts';
import { addFields, settingsOf } from './flags.ts';
import { DATA_HELP } from './help.ts';
import { Progress } from './progress.ts';

const WORDS: Readonly<Record<string, string>> = {
  checkpoint: 'of a run: last, best or a step',
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
    .usage('--model <folder> --data <source...>')
    .option('--model <folder>', "a run of stage 1, one of its checkpoints, or Hugging Face's Blip2ForImageTextRetrieval")
    .option('--data <source...>', 'pictures with captions, see below')
    .option('--images <folder>', 'where the pictures are that files name; beside the file unless told')
    .option('--json', 'the figures as JSON')
    .addHelpText(
      'after',
      `${DATA_HELP}
Of Karpathy's split, test is taken unless split=… says otherwise.

Examples:
  blip2 eval retrieval --model run --data dataset_coco.json --images coco
  blip2 eval retrieval --model blip2-itm-vit-g --data pictures --dtype bfloat16 --json`,
    );
  command.hook('preSubcommand', async (_, subcommand) => {
    if (subcommand !== retrieval) return;
    const { fieldsOf, RETRIEVAL_DEFAULTS } = await import('../recipes/index.ts');
    addFields(subcommand, fieldsOf(RETRIEVAL_DEFAULTS), 'Settings:', WORDS);
  });
  retrieval.action(evalRetrieval);
}

async function evalRetrieval({ json = false, ...flags }: Readonly<Record<string, unknown>>): Promise<void> {
  const { measureRetrieval } = await import('../recipes/index.ts');
  const settings = settingsOf(flags) as unknown as RetrievalSettings;
  const { pictures, texts, metrics } = await untilSignal(async (signal) => {
    const progress = new PhaseProgress();
    try {
      return await measureRetrieval(settings, { signal, onProgress: (now) => progress.show(now) });
    } finally {
      progress.stop();
    }
  });
  if (json) {
    print(JSON.stringify({ pictures, texts: texts.length, metrics }));
    return;
  }
  note(`${pictures} pictures, ${texts.length} captions`);
  print(table(metrics));
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
function table(metrics: Readonly<Record<string, number>>): string {
  const ks = [...new Set(Object.keys(metrics).flatMap((name) => /Recall(\d+)$/.exec(name)?.[1] ?? []))];
  const row = (label: string, prefix: string): string[] => {
    const cells = ks.map((k) => metrics[`${prefix}Recall${k}`]);
    return cells.includes(undefined)
      ? []
      : [label.padEnd(34) + cells.map((value) => (value as number).toFixed(1).padStart(8)).join('')];
  };
  const reranked = 'contrastImageToTextRecall1' in metrics;
  return [
    ''.padEnd(34) + ks.map((k) => `R@${k}`.padStart(8)).join(''),
    ...row('text by picture', 'imageToText'),
    ...row('picture by text', 'textToImage'),
    ...(reranked ? row('text by picture, contrast alone', 'contrastImageToText') : []),
    ...(reranked ? row('picture by text, contrast alone', 'contrastTextToImage') : []),
  ].join('\n');
}
