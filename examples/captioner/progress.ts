import { Presets, SingleBar } from 'cli-progress';
import type { TrainingStep } from './train.ts';

/** A bar with the loss (a running mean), pictures a second and the time left; off a terminal, a line now and then. */
export class TrainingBar {
  readonly #batchSize: number;
  readonly #bar: SingleBar;
  #loss = Number.NaN;

  constructor(batchSize: number) {
    this.#batchSize = batchSize;
    const format = 'training {bar} {percentage} % | loss {loss} | {rate} pictures/s | {left} left';
    const offTerminal = { noTTYOutput: true, notTTYSchedule: 10_000 };
    this.#bar = new SingleBar({ format, fps: 4, gracefulExit: false, ...offTerminal }, Presets.shades_classic);
    this.#bar.start(1000, 0, { loss: '–', rate: '–', left: '–' });
  }

  update({ step, progress, loss, seconds }: TrainingStep): void {
    this.#loss = Number.isNaN(this.#loss) ? loss : 0.98 * this.#loss + 0.02 * loss;
    const left = Math.round((seconds * (1 - progress)) / progress);
    this.#bar.update(Math.floor(1000 * progress), {
      loss: this.#loss.toFixed(3),
      rate: ((step * this.#batchSize) / seconds).toFixed(0),
      left: `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')}`,
    });
  }

  stop(): void {
    this.#bar.stop();
  }
}
