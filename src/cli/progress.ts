import { Presets, SingleBar } from 'cli-progress';

// Logs are read afterwards: a line every two seconds is enough to see that something moves.
const interval = 2_000;

/** Shows how far one piece of work is: a bar on a terminal, a plain line now and then elsewhere. */
export class Progress {
  readonly #label: string;
  readonly #unit: string;
  #bar: SingleBar | undefined;
  #total = 0;
  #done = 0;
  #told = -1;
  #next = 0;

  constructor(label: string, unit: string) {
    this.#label = label;
    this.#unit = unit;
  }

  /** Begins, or corrects the total. */
  start(total: number): void {
    this.#total = total;
    if (this.#next === 0) this.#next = Date.now() + interval;
    if (this.#bar !== undefined) this.#bar.setTotal(total);
    else if (process.stderr.isTTY) {
      const format = `  ${this.#label} {bar} {value}/{total} ${this.#unit}, {eta_formatted} left`;
      this.#bar = new SingleBar({ format, hideCursor: true, stream: process.stderr }, Presets.shades_classic);
      this.#bar.start(total, 0);
    }
  }

  update(done: number): void {
    this.#done = done;
    if (this.#bar !== undefined) this.#bar.update(done);
    else if (Date.now() >= this.#next) this.#tell();
  }

  stop(): void {
    if (this.#bar !== undefined) this.#bar.stop();
    else if (this.#done !== this.#told && this.#done > 0) this.#tell();
  }

  // Logs are read afterwards: a line every two seconds is enough to see that something moves.
  #tell(): void {
    this.#next = Date.now() + interval;
    this.#told = this.#done;
    process.stderr.write(`  ${this.#label}: ${this.#done} of ${this.#total} ${this.#unit}\n`);
  }
}
