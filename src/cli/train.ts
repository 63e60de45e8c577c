import type { Command } from 'commander';
import { readJsonObject } from '../native/files.ts';
import type { Run, RunOptions, Stage1Settings, Stage2Settings } from '../recipes/index.ts';
import type { TrainingResult } from '../train/index.ts';
import { exitCodes, note, print } from './exit.ts';
import { addFields, settingsOf } from './flags.ts';
import { DATA_HELP } from './help.ts';
import { withFolders } from './model.ts';

/** What the flags of the recipes are for: these are listed by `--help`. */
const WORDS: Readonly<Record<string, string>> = {
  steps: 'optimizer steps',
  batchSize: 'pairs a step',
  accumulation: 'parts that a step is divided into',
  'schedule.peak': 'highest learning rate',
  'schedule.floor': 'lowest learning rate, at the end',
  'schedule.start': 'learning rate at the start',
  'schedule.warmupSteps': 'steps from start to peak; unless told, a tenth of a run of fewer than 20,000 steps',
  'optimizer.weightDecay': 'weight decay',
  'optimizer.betas': "AdamW's betas",
  'objective.weights.itc': 'weight of image-text contrast; 0: without',
  'objective.weights.itm': 'weight of image-text matching; 0: without',
  'objective.weights.itg': 'weight of image-grounded text generation; 0: without',
  'objective.labelSmoothing': 'label smoothing',
  'image.crop': 'random crops; null: whole pictures',
  'image.flip': 'probability that a picture is mirrored',
  'text.maxLength': 'tokens of a caption at most',
  'text.prompt': 'what stands before every caption and is not learned, such as "a photo of"',
  'text.split.minPrefix': 'words of a caption that an encoder (T5) reads at least; --text.split null: none at all',
  'text.split.maxPrefix': 'and at most',
  'text.split.minSuffix': 'words that its decoder writes at least',
  precision: 'of what is trained: float32, bfloat16, float16',
  visionDtype: 'of the frozen tower: float32, bfloat16',
  languageModelDtype: 'of the frozen language model: float32, bfloat16',
  clipNorm: 'largest norm of the gradients; none unless told',
  seed: 'of everything that is drawn',
};

const RUN_WORDS: Readonly<Record<string, string>> = {
  device: 'cpu, cuda, cuda:1, …',
  threads: "threads of an operator; libtorch's choice unless told",
  workers: 'threads that read pictures; processors − 1, at most 8, unless told',
  maxBroken: 'share of broken samples that is borne',
  'evaluation.every': 'steps from one evaluation to the next',
  'evaluation.topK': 'stage 1: candidates that matching ranks anew; 0: contrast alone',
  'evaluation.batchSize': 'pictures, or questions, at a time',
  'evaluation.captions': 'so many of these pictures are captioned, too',
  'evaluation.questionCount': 'stage 2: so many of the questions are asked; all unless told',
  'checkpoints.every': 'steps from one checkpoint to the next',
  'checkpoints.keepLast': 'how many are kept beside the best',
  logEvery: 'steps from one line in the logs to the next',
};

/** A stage, for the command line. */
interface Stage<S> {
  defaults(): object;
  /** The same of a recipe of another kind, for the fields that it alone has. */
  others?(): object;
  preview(settings: S, options: Pick<RunOptions, 'resume'>): object;
  open(settings: S, options: RunOptions): Promise<Run>;
}

const stage1 = async (): Promise<Stage<Stage1Settings>> => {
  const { stage1Defaults, stage1Preview, stage1Run } = await import('../recipes/index.ts');
  return { defaults: stage1Defaults, preview: stage1Preview, open: stage1Run };
};
const stage2 = async (): Promise<Stage<Stage2Settings>> => {
  const { stage2, stage2Defaults, stage2Preview, stage2Run } = await import('../recipes/index.ts');
  const others = () => stage2({ vision: 'eva-vit-g', languageModel: 'flan-t5-xl' });
  return { defaults: stage2Defaults, others, preview: stage2Preview, open: stage2Run };
};

/** `blip2 train …` */
export function addTrain(program: Command): void {
  const train = program.command('train').description('train a stage, or go on with a run');
  const first = train
    .command('stage1')
    .description('learn to represent pictures by language: contrast, matching and captions with a frozen vision tower')
    .usage('--data <source...> --vision <name> --vision-weights <file> --bert <folder> --out <folder>');
  addRunOptions(first)
    .option(
      '--vision <name>',
      'the frozen tower: eva-vit-g, clip-vit-l, or a folder of Hugging Face with its weights, or owner/name of the Hub',
    )
    .option('--vision-weights <path>', "its weights: eva_vit_g.pth, CLIP's folder, .safetensors, …")
    .option('--bert <folder>', "where the Q-Former begins: a BERT's folder with its tokenizer, owner/name of the Hub, or random")
    .option('--tokenizer <folder>', "of another tokenizer than BERT's")
    .addHelpText(
      'after',
      `${DATA_HELP}

${FIELDS_HELP}

Examples:
  blip2 train stage1 --data captions.jsonl --images pictures --vision clip-vit-l --vision-weights clip-vit-large-patch14 \\
    --bert google-bert/bert-base-uncased --out run --batch-size 256 --steps 20000
  blip2 train stage1 --data coco.json,images=coco 'cc3m/*.tar,weight=2' --config vit-g.json --out run --device cuda
  blip2 train stage1 --out run --resume`,
    )
    .action((flags: TrainFlags) => run(stage1, 1, flags));
  const second = train
    .command('stage2')
    .description('teach a frozen language model to see with what stage 1 has learned')
    .usage('--data <source...> --from <run> --language-model <folder> --out <folder>');
  addRunOptions(second)
    .option('--from <run>', 'the run of stage 1, one of its checkpoints, or a file such as blip2_pretrained.pth')
    .option(
      '--language-model <folder>',
      'the frozen language model: its folder, or owner/name of the Hub; or a name such as opt-2.7b or flan-t5-xl',
    )
    .option('--language-model-weights <folder>', 'where its weights are, if --language-model is no folder')
    .option('--vision <name>', 'the frozen tower, if --from is a file: eva-vit-g, clip-vit-l, or a folder')
    .option('--vision-weights <path>', 'its weights, if those of stage 1 have been moved')
    .option('--tokenizer <folder>', "of another tokenizer than the language model's")
    .addHelpText(
      'after',
      `${DATA_HELP}

${FIELDS_HELP}

Examples:
  blip2 train stage2 --data captions.jsonl --images pictures --from run --language-model facebook/opt-2.7b --out run2
  blip2 train stage2 --out run2 --resume
  blip2 export run2 --to my-blip2`,
    )
    .action((flags: TrainFlags) => run(stage2, 2, flags));
  train.hook('preSubcommand', async (_, command) => {
    if (command === first) await addStageFields(command, await stage1());
    if (command === second) await addStageFields(command, await stage2());
  });
}

const FIELDS_HELP = `Every field of the recipe has a flag, such as --model.num-query-tokens 16 or --vision.config.image-size 364;
--show-recipe lists them. Values in parentheses are those of the paper's run with ViT-g. Where the device is not fast in
bfloat16 (\`blip2 doctor\` says it of a processor), visionDtype, languageModelDtype and precision are float32 unless told.`;

function addRunOptions(command: Command): Command {
  return command
    .option('--out <folder>', 'the folder of the run: checkpoints, logs, tokenizer')
    .option('--resume', 'go on with the run in --out, bit for bit; all other flags may be left out')
    .option('--config <file>', 'settings as JSON, such as the run.json of another run; flags win')
    .option('--data <source...>', 'pictures with captions, see below')
    .option('--images <folder>', 'where the pictures are that files name; beside the file unless told')
    .option(
      '--features <folder>',
      "compute the tower's features once and keep them there (wants --image.crop null --image.flip 0)",
    )
    .option('--evaluation.data <source...>', 'pictures with captions on which the model is evaluated meanwhile')
    .option('--evaluation.images <folder>', 'where these pictures are')
    .option('--evaluation.questions <file>', 'stage 2: questions about pictures that are asked meanwhile')
    .option('--evaluation.annotations <file>', "stage 2: VQAv2's and OK-VQA's answers to them")
    .option('--show-recipe', 'only show what would be run, as JSON: every field that a flag can set')
    .option('--json', 'how the run ended, as JSON on standard output');
}

async function addStageFields<S>(command: Command, stage: Stage<S>): Promise<void> {
  const { fieldsOf } = await import('../recipes/index.ts');
  const usual = fieldsOf(stage.defaults());
  const known = new Set(usual.map(({ name }) => name));
  const fields = [...usual, ...fieldsOf(stage.others?.() ?? {}).filter(({ name }) => !known.has(name))];
  const own = fields.filter(({ name }) => Object.hasOwn(RUN_WORDS, name));
  addFields(command, own, 'The run:', RUN_WORDS);
  addFields(command, fields, 'The recipe:', WORDS);
}

interface TrainFlags extends Readonly<Record<string, unknown>> {
  readonly config?: string;
  readonly resume?: boolean;
  readonly json?: boolean;
  readonly showRecipe?: boolean;
}

/** Parts of a model that may be folders, or repositories of the Hub. */
const MAY_BE_OF_HUB = ['vision', 'visionWeights', 'bert', 'languageModel', 'languageModelWeights', 'tokenizer'];

async function run<S>(load: () => Promise<Stage<S>>, number: number, flags: TrainFlags): Promise<void> {
  const { config, resume = false, json = false, showRecipe = false, ...rest } = flags;
  const stage = await load();
  const told = await settingsFrom(config, rest);
  const settings = (await withFolders(told, MAY_BE_OF_HUB, { weights: !showRecipe })) as S;
  if (showRecipe) {
    print(JSON.stringify(stage.preview(settings, { resume }), null, 2));
    return;
  }
  const { NonFiniteError, ProgressLog } = await import('../train/index.ts');
  const opened = await stage.open(settings, { resume, logs: ({ steps }) => [new ProgressLog(steps)] });
  const { recipe, model, dataset, started } = opened;
  const { out, device } = opened.settings;
  if (resume && !started) note(`no checkpoint in ${out} yet: the run begins`);
  const pairs = dataset.length === undefined ? '' : ` (${dataset.length} pairs)`;
  note(`stage ${number} on ${device}: ${dataset.name}${pairs}, ${recipe.steps} steps of ${recipe.batchSize} pairs`);
  note(`${model.parameterCount()} parameters are trained; ${out} has checkpoints and logs (tensorboard --logdir ${out})`);
  try {
    ended(await opened.run(), json);
  } catch (error) {
    if (!(error instanceof NonFiniteError)) throw error;
    process.exitCode = exitCodes.failed; // the logs say it already, this terminal's among them
  }
}

/** A configuration's settings, and the flags' in their place. */
async function settingsFrom(config: string | undefined, flags: Readonly<Record<string, unknown>>): Promise<object> {
  const { overlaid } = await import('../recipes/run-settings.ts');
  const { stage: _, ...file } = config === undefined ? {} : readJsonObject(config);
  return overlaid(file, settingsOf(flags));
}

function ended(result: TrainingResult, json: boolean): void {
  const { reason, step, checkpoint, best } = result;
  if (json) print(JSON.stringify(result));
  if (reason === 'SIGINT' || reason === 'SIGTERM') process.exitCode = exitCodes[reason];
  else
    note(
      `done: ${step} steps; ${checkpoint}${best === null ? '' : `; the best was step ${best.step} (${Number(best.value.toPrecision(4))})`}`,
    );
}
