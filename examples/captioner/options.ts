import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';

/** What the captioner's demo is told on the command line. */
export interface DemoOptions {
  /** Pictures to caption; without one the demo trains and reports. */
  readonly images: readonly string[];
  /** Where the model and the report go. */
  readonly out: string;
  readonly concepts: number;
  readonly steps: number;
  readonly batchSize: number;
  readonly rate: number;
  /** Training ends after this many seconds, however few steps were possible. */
  readonly seconds: number;
  readonly seed: number;
  /** Held-out pictures of each kind. */
  readonly pictures: number;
  /** Report on the validation split, for choosing sizes and rates. */
  readonly validation: boolean;
}

const USAGE = `usage: npm run demo:captioner -- [options]
  --image FILE      caption this picture (may be given several times); trains first where no model is saved
  --out FOLDER      where the model and the report go (demo-output/captioner)
  --concepts N      how many of the 100 concepts (32)
  --steps N         training steps (7500)
  --batch-size N    pictures a step (32)
  --rate X          highest learning rate (0.0005)
  --seconds N       end training after this time, however few steps were possible (240)
  --seed N          of the weights and the training pictures (0)
  --pictures N      held-out pictures of each kind (500)
  --validation      report on the validation split instead`;

/** Reads the command line; for --help, and for what cannot be, prints the usage and ends the process. */
export function readOptions(args: readonly string[]): DemoOptions {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        image: { type: 'string', multiple: true, default: [] },
        out: { type: 'string', default: 'demo-output/captioner' },
        concepts: { type: 'string', default: '32' },
        steps: { type: 'string', default: '7500' },
        'batch-size': { type: 'string', default: '32' },
        rate: { type: 'string', default: '0.0005' },
        seconds: { type: 'string', default: '240' },
        seed: { type: 'string', default: '0' },
        pictures: { type: 'string', default: '500' },
        validation: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) end(0, USAGE);
    const whole = (name: 'concepts' | 'steps' | 'batch-size' | 'seed' | 'pictures', least: number, most: number): number => {
      const value = Number(values[name]);
      if (Number.isInteger(value) && value >= least && value <= most) return value;
      throw new RangeError(`--${name}: expected a whole number from ${least} to ${most}, got ${JSON.stringify(values[name])}`);
    };
    const positive = (name: 'rate' | 'seconds'): number => {
      const value = Number(values[name]);
      if (Number.isFinite(value) && value > 0) return value;
      throw new RangeError(`--${name}: expected a number above 0, got ${JSON.stringify(values[name])}`);
    };
    const missing = values.image.find((file) => !existsSync(file));
    if (missing !== undefined) throw new RangeError(`--image: there is no file ${missing}`);
    return {
      images: values.image,
      out: values.out,
      concepts: whole('concepts', 2, 100),
      steps: whole('steps', 1, 1_000_000),
      batchSize: whole('batch-size', 1, 4096),
      rate: positive('rate'),
      seconds: positive('seconds'),
      seed: whole('seed', 0, 2 ** 31 - 1),
      pictures: whole('pictures', 1, 100_000),
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
