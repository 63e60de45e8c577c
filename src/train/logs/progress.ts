import { Presets, SingleBar } from 'cli-progress';
import { aNumber, aSize, aString, checkArgument, having, recordOf } from '../../native/arguments.ts';
import type { StepRecord, TrainingLog } from './log.ts';

/** Without a terminal, a line every so many milliseconds is enough to see that something moves. */
const INTERVAL = 10_000;

/** Shows how far a run is on standard error: a line that is drawn again on a terminal, one now and then elsewhere. */
export class ProgressLog implements TrainingLog {
  readonly #stream: NodeJS.WriteStream;
  readonly #steps: number;
  #bar: SingleBar | null = null;
  #told = 0;

  /** @param steps all steps of the run */
  constructor(steps: number, stream: NodeJS.WriteStream = process.stderr) {
    this.#steps = steps;
    this.#stream = stream;
  }

  open(step: number): void {
    checkArgument('step', step, aSize);
    if (!this.#stream.isTTY) return;
    const options = { format: '{bar} {text}', hideCursor: true, barsize: 16, stream: this.#stream, fps: 4, forceRedraw: true };
    this.#bar = new SingleBar(options, Presets.shades_classic);
    this.#bar.start(this.#steps, step, { text: `${step}/${this.#steps}` });
  }

  step(record: StepRecord): void {
    checkArgument('record', record, having('step', 'losses', 'statistics'));
    if (this.#bar !== null) this.#bar.update(record.step, { text: progressText(record) });
    else if (Date.now() - this.#told >= INTERVAL || record.step === record.steps) {
      this.#told = Date.now();
      this.#stream.write(`${progressText(record)}\n`);
    }
  }

  evaluation(step: number, metrics: Readonly<Record<string, number>>): void {
    checkArgument('step', step, aSize);
    checkArgument('metrics', metrics, recordOf(aNumber));
    const list = Object.entries(metrics).map(([name, value]) => `${name} ${digits(value)}`);
    this.message(`step ${step}: ${list.join(', ')}`);
  }

  message(text: string): void {
    checkArgument('text', text, aString);
    if (this.#bar === null) this.#stream.write(`${text}\n`);
    else this.#stream.write(`\r\u001b[K${text}\n`); // the bar is drawn again below
  }

  close(): void {
    this.#bar?.stop();
    this.#bar = null;
  }
}

/** A step in a line: step, losses, learning rate, speed, share of waiting for data, memory, time left. */
export function progressText(record: StepRecord): string {
  const losses = Object.entries(record.losses).map(([name, value]) => `${name} ${digits(value)}`);
  return [
    `${record.step}/${record.steps}`,
    losses.join(' '),
    `lr ${record.learningRate.toExponential(2)}`,
    `${digits(record.samplesPerSecond)} pictures/s`,
    `data ${Math.round(100 * record.dataWait)} %`,
    `${(record.memory / 2 ** 30).toFixed(2)} GiB`,
    `${duration(record.secondsLeft)} left`,
  ].join(' | ');
}

/** Four significant digits. */
function digits(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : String(value);
}

function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${String(minutes % 60).padStart(2, '0')} min` : `${Math.round(hours / 24)} days`;
}
