import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type LanguageKind, languageKinds } from '../language/tokenizer.ts';

/** What `npm run demo` is told on the command line. */
export interface DemoOptions {
  /** Pictures of the caller's own to caption, or to ask about; without one the demo trains and reports. */
  readonly images: readonly string[];
  /** What to ask about them; null captions them. */
  readonly ask: string | null;
  /** The kind of the frozen language model. */
  readonly llm: LanguageKind;
  /** Where models, logs and the report go. */
  readonly out: string;
  /** The paper's ablation that is to be run instead, with its seeds. */
  readonly ablation: Ablation | null;
  readonly seeds: number;
  readonly concepts: number;
  /** Steps of the first stage. */
  readonly steps: number;
  /** Steps of the second stage. */
  readonly stage2Steps: number;
  readonly batchSize: number;
  readonly rate: number;
  readonly weightDecay: number;
  readonly seed: number;
  /** Held-out pictures of each kind to search among. */
  readonly pictures: number;
  /** The file with the frozen tower's weights. */
  readonly vision: string;
  /** Report on the validation split, for choosing sizes and rates. */
  readonly validation: boolean;
}

export const ablations = ['no-stage-1', 'no-itg'] as const;
export type Ablation = (typeof ablations)[number];

const USAGE = `usage: npm run demo -- [options]
  --image FILE       caption this picture (may be given several times); trains first where no model is saved
  --ask QUESTION     ask this about the pictures instead, such as "what is in the picture?"
  --llm KIND         the frozen language model: ${languageKinds.join(' or ')} (opt)
  --ablation NAME    run an ablation of the paper's instead: ${ablations.join(', ')}
  --seeds N          runs of each kind in an ablation (3)
  --out FOLDER       where models, logs and the report go (demo-output)
  --concepts N       how many of the 100 concepts (100)
  --steps N          steps of the first stage (1000; 500 in an ablation)
  --stage2-steps N   steps of the second stage (2000; 1000 in an ablation)
  --batch-size N     pairs a step (64)
  --rate X           highest learning rate (0.0015)
  --weight-decay X   of matrices (0.05)
  --seed N           of the weights and the training pictures (0)
  --pictures N       held-out pictures of each kind (200)
  --vision FILE      the frozen tower's weights (examples/weights/vision.safetensors)
  --validation       report on the validation split instead`;

/** Reads the command line; for --help, and for what cannot be, prints the usage and ends the process. */
export function readOptions(args: readonly string[], defaultVision: string): DemoOptions {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        image: { type: 'string', multiple: true, default: [] },
        ask: { type: 'string' },
        llm: { type: 'string', default: 'opt' },
        ablation: { type: 'string' },
        seeds: { type: 'string', default: '3' },
        out: { type: 'string', default: 'demo-output' },
        concepts: { type: 'string', default: '100' },
        steps: { type: 'string' },
        'stage2-steps': { type: 'string' },
        'batch-size': { type: 'string', default: '64' },
        rate: { type: 'string', default: '0.0015' },
        'weight-decay': { type: 'string', default: '0.05' },
        seed: { type: 'string', default: '0' },
        pictures: { type: 'string', default: '200' },
        vision: { type: 'string', default: defaultVision },
        validation: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) end(0, USAGE);
    const text: Readonly<Record<string, unknown>> = {
      ...values,
      steps: values.steps ?? (values.ablation ? '500' : '1000'),
      'stage2-steps': values['stage2-steps'] ?? (values.ablation ? '1000' : '2000'),
    };
    const whole = (name: string, least: number, most: number): number => {
      const value = Number(text[name]);
      if (Number.isInteger(value) && value >= least && value <= most) return value;
      throw new RangeError(`--${name}: expected a whole number from ${least} to ${most}, got ${JSON.stringify(text[name])}`);
    };
    const number = (name: string, fits: (value: number) => boolean, expected: string): number => {
      const value = Number(text[name]);
      if (Number.isFinite(value) && fits(value)) return value;
      throw new RangeError(`--${name}: expected ${expected}, got ${JSON.stringify(text[name])}`);
    };
    for (const file of [...values.image, values.vision]) {
      if (!existsSync(file)) throw new RangeError(`${file === values.vision ? '--vision' : '--image'}: there is no file ${file}`);
    }
    const ablation = ablations.find((name) => name === values.ablation) ?? null;
    if (values.ablation !== undefined && ablation === null) {
      throw new RangeError(`--ablation: expected ${ablations.join(' or ')}, got ${JSON.stringify(values.ablation)}`);
    }
    const llm = languageKinds.find((name) => name === values.llm);
    if (llm === undefined) {
      throw new RangeError(`--llm: expected ${languageKinds.join(' or ')}, got ${JSON.stringify(values.llm)}`);
    }
    if (values.ask !== undefined && values.image.length === 0)
      throw new RangeError('--ask: expected a picture to ask about: --image');
    return {
      images: values.image,
      ask: values.ask ?? null,
      llm,
      out: values.out,
      ablation,
      seeds: whole('seeds', 1, 100),
      concepts: whole('concepts', 2, 100),
      steps: whole('steps', 1, 1_000_000),
      stage2Steps: whole('stage2-steps', 1, 1_000_000),
      batchSize: whole('batch-size', 2, 4096),
      rate: number('rate', (value) => value > 0, 'a number above 0'),
      weightDecay: number('weight-decay', (value) => value >= 0, 'a number from 0'),
      seed: whole('seed', 0, 2 ** 31 - 1),
      pictures: whole('pictures', 1, 1000),
      vision: values.vision,
      validation: values.validation,
    };
  } catch (error) {
    return end(2, `${(error as Error).message}\n\n${USAGE}`);
  }
}

function end(code: number, message: string): never {
  (code === 0 ? console.log : console.error)(message);
  process.exit(code);
}
