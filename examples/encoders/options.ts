import { parseArgs } from 'node:util';

/** What can be trained. */
export const parts = ['vision', 'opt', 't5'] as const;
export type Part = (typeof parts)[number];

const precisions = ['bfloat16', 'float32'] as const;

/** What `npm run demo:encoders` is told on the command line. */
export interface EncoderOptions {
  readonly parts: readonly Part[];
  /** Where runs, which can go on, are. */
  readonly runs: string;
  /** Where the weights go. */
  readonly out: string;
  /** Fewer steps than the recipe's, to try things out; undefined for the recipe's. */
  readonly steps: number | undefined;
  readonly concepts: number | undefined;
  /** Of the products in what is trained. */
  readonly precision: (typeof precisions)[number];
  /** Held-out pictures of each kind to look at in the end. */
  readonly pictures: number;
  /** Keep out, and look at, the validation split instead. */
  readonly validation: boolean;
}

const USAGE = `usage: npm run demo:encoders -- [${parts.join('|')} …] [options]
trains the frozen models of the demo, all unless told; a run that was ended goes on where it was
  --runs FOLDER     where runs and their logs are (demo-output/encoders)
  --out FOLDER      where the weights go (examples/weights)
  --steps N         steps of training, for a try
  --concepts N      how many of the 100 concepts, for a try
  --pictures N      held-out pictures of each kind to look at in the end (1000)
  --validation      keep out the validation split too, and look at that`;

/** Reads the command line; for --help, and for what cannot be, prints the usage and ends the process. */
export function readOptions(args: readonly string[], defaultOut: string): EncoderOptions {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        runs: { type: 'string', default: 'demo-output/encoders' },
        out: { type: 'string', default: defaultOut },
        steps: { type: 'string' },
        concepts: { type: 'string' },
        precision: { type: 'string', default: 'bfloat16' },
        pictures: { type: 'string', default: '1000' },
        validation: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) end(0, USAGE);
    const whole = (name: string, value: string, least: number, most: number): number => {
      const number = Number(value);
      if (Number.isInteger(number) && number >= least && number <= most) return number;
      throw new RangeError(`--${name}: expected a whole number from ${least} to ${most}, got ${JSON.stringify(value)}`);
    };
    const unknown = positionals.find((part) => !parts.some((each) => each === part));
    if (unknown !== undefined) throw new RangeError(`expected some of ${parts.join(', ')}, got ${JSON.stringify(unknown)}`);
    const precision = precisions.find((name) => name === values.precision);
    if (precision === undefined) {
      throw new RangeError(`--precision: expected ${precisions.join(' or ')}, got ${JSON.stringify(values.precision)}`);
    }
    return {
      precision,
      parts: positionals.length > 0 ? (positionals as Part[]) : parts,
      runs: values.runs,
      out: values.out,
      steps: values.steps === undefined ? undefined : whole('steps', values.steps, 1, 1_000_000),
      concepts: values.concepts === undefined ? undefined : whole('concepts', values.concepts, 2, 100),
      pictures: whole('pictures', values.pictures, 1, 100_000),
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
