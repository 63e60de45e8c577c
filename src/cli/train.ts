import type { Command } from 'commander';
import { readJsonObject } from '../native/files.ts';
import type { Stage1Settings } from '../recipes/index.ts';
import type { TrainingResult } from '../train/index.ts';
import { exitCodes, note, print } from './exit.ts';
import { addFields, settingsOf } from './flags.ts';
import { DATA_HELP } from './help.ts';

/** What the flags of a recipe are for: these are listed by `--help`. */
const WORDS: Readonly<Record<string, string>> = {
  steps: 'optimizer steps',
  batchSize: 'pairs a step; 2320 with clip-vit-l',
  accumulation: 'parts that a step is divided into',
  'schedule.peak': 'highest learning rate',
  'schedule.floor': 'lowest learning rate, at the end',
  'schedule.start': 'learning rate at the start',
  'schedule.warmupSteps': 'steps from start to peak',
  'optimizer.weightDecay': 'weight decay',
  'optimizer.betas': "AdamW's betas",
  'objective.weights.itc': 'weight of image-text contrast; 0: without',
  'objective.weights.itm': 'weight of image-text matching; 0: without',
  'objective.weights.itg': 'weight of image-grounded text generation; 0: without',
  'objective.labelSmoothing': 'label smoothing',
  'image.crop': 'random crops; null: whole pictures',
  'image.flip': 'probability that a picture is mirrored',
  'text.maxLength': 'tokens of a caption at most',
  precision: 'of what is trained: float32, bfloat16, float16',
  visionDtype: 'of the frozen tower: float32, bfloat16',
  clipNorm: 'largest norm of the gradients; none unless told',
  seed: 'of everything that is drawn',
};

const RUN_WORDS: Readonly<Record<string, string>> = {
  device: 'cpu, cuda, cuda:1, …',
  threads: "threads of an operator; libtorch's choice unless told",
  workers: 'threads that read pictures; processors − 1, at most 8, unless told',
  maxBroken: 'share of broken samples that is borne',
  'evaluation.every': 'steps from one evaluation to the next',
  'evaluation.topK': 'candidates that matching ranks anew; 0: contrast alone',
  'evaluation.batchSize': 'pictures at a time',
  'checkpoints.every': 'steps from one checkpoint to the next',
  'checkpoints.keepLast': 'how many are kept beside the best',
  logEvery: 'steps from one line in the logs to the next',
};

/** `blip2 train …` */
export function addTrain(program: Command): void {
  const train = program.command('train').description('train a stage, or go on with a run');
  const stage1 = train
    .command('stage1')
    .description('learn to represent pictures by language: contrast, matching and captions with a frozen vision tower')
    .usage('--data <source...> --vision <name> --vision-weights <file> --bert <folder> --out <folder>')
    .option('--out <folder>', 'the folder of the run: checkpoints, logs, tokenizer')
    .option('--resume', 'go on with the run in --out, bit for bit; all other flags may be left out')
    .option('--config <file>', 'settings as JSON, such as the run.json of another run; flags win')
    .option('--data <source...>', 'pictures with captions, see below')
    .option('--images <folder>', 'where the pictures are that files name; beside the file unless told')
    .option('--vision <name>', 'the frozen tower: eva-vit-g, clip-vit-l, or a folder of Hugging Face with its weights')
    .option('--vision-weights <path>', "its weights: eva_vit_g.pth, CLIP's folder, .safetensors, …")
    .option('--bert <folder>', "where the Q-Former begins: a BERT's folder with its tokenizer, or random")
    .option('--tokenizer <folder>', "of another tokenizer than BERT's")
    .option(
      '--features <folder>',
      "compute the tower's features once and keep them there (wants --image.crop null --image.flip 0)",
    )
    .option('--evaluation.data <source...>', 'pictures with captions on which retrieval is measured meanwhile')
    .option('--evaluation.images <folder>', 'where these pictures are')
    .option('--show-recipe', 'only show what would be run, as JSON: every field that a flag can set')
    .option('--json', 'how the run ended, as JSON on standard output')
    .addHelpText(
      'after',
      `${DATA_HELP}

Every field of the recipe has a flag, --model.num-query-tokens 16 or --vision.config.image-size 364;
--show-recipe lists them. Values in parentheses are those of the paper's run with ViT-g.

Examples:
  blip2 train stage1 --data captions.jsonl --images pictures --vision clip-vit-l --vision-weights clip-vit-large-patch14 \\
    --bert bert-base-uncased --out run --batch-size 256 --steps 20000
  blip2 train stage1 --data coco.json,images=coco 'cc3m/*.tar,weight=2' --config vit-g.json --out run --device cuda
  blip2 train stage1 --out run --resume`,
    );
  train.hook('preSubcommand', async (_, command) => {
    if (command === stage1) await addStage1Fields(command);
  });
  stage1.action(trainStage1);
}

async function addStage1Fields(command: Command): Promise<void> {
  const { fieldsOf, stage1Defaults } = await import('../recipes/index.ts');
  const fields = fieldsOf(stage1Defaults());
  addFields(
    command,
    fields.filter(({ name }) => Object.hasOwn(RUN_WORDS, name)),
    'The run:',
    RUN_WORDS,
  );
  addFields(command, fields, 'The recipe:', WORDS);
}

interface TrainFlags extends Readonly<Record<string, unknown>> {
  readonly config?: string;
  readonly resume?: boolean;
  readonly json?: boolean;
  readonly showRecipe?: boolean;
}

async function trainStage1({ config, resume = false, json = false, showRecipe = false, ...flags }: TrainFlags): Promise<void> {
  const { stage1Preview, stage1Run } = await import('../recipes/index.ts');
  const settings = await settingsFrom(config, flags);
  if (showRecipe) {
    print(JSON.stringify(stage1Preview(settings, { resume }), null, 2));
    return;
  }
  const { ProgressLog } = await import('../train/index.ts');
  const run = await stage1Run(settings, { resume, logs: ({ steps }) => [new ProgressLog(steps)] });
  const {
    recipe,
    model,
    dataset,
    started,
    settings: { out, device },
  } = run;
  if (resume && !started) note(`no checkpoint in ${out} yet: the run begins`);
  const pairs = dataset.length === undefined ? '' : ` (${dataset.length} pairs)`;
  note(`stage 1 on ${device}: ${dataset.name}${pairs}, ${recipe.steps} steps of ${recipe.batchSize} pairs`);
  note(`${model.parameterCount()} parameters are trained; ${out} has checkpoints and logs (tensorboard --logdir ${out})`);
  ended(await run.run(), json);
}

/** A configuration's settings, and the flags' in their place. */
async function settingsFrom(config: string | undefined, flags: Readonly<Record<string, unknown>>): Promise<Stage1Settings> {
  const { overlaid } = await import('../recipes/run-settings.ts');
  const { stage: _, ...file } = config === undefined ? {} : readJsonObject(config);
  return overlaid(file, settingsOf(flags)) as Stage1Settings;
}

function ended(result: TrainingResult, json: boolean): void {
  const { reason, step, checkpoint, best } = result;
  if (json) print(JSON.stringify(result));
  if (reason === 'SIGINT' || reason === 'SIGTERM') process.exitCode = exitCodes[reason];
  else note(`done: ${step} steps; ${checkpoint}${best === null ? '' : `; the best was step ${best.step} (${best.value})`}`);
}
