import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { StepRecord, TrainingLog } from 'blip2';

/** Seconds that a run took, over all the processes that it was continued by: time between a process's end and the next one's start does not count. */
export class Stopwatch implements TrainingLog {
  readonly #file: string;
  #before = 0;
  #started = performance.now();
  #written = 0;

  constructor(file: string) {
    this.#file = file;
  }

  get seconds(): number {
    return this.#before + (performance.now() - this.#started) / 1000;
  }

  open(step: number): void {
    const known = step > 0 && existsSync(this.#file);
    this.#before = known ? (JSON.parse(readFileSync(this.#file, 'utf8')) as number) : 0;
    this.#started = performance.now();
  }

  step(_: StepRecord): void {
    if (performance.now() - this.#written < 5000) return;
    this.#written = performance.now();
    this.#write();
  }

  evaluation(): void {}

  message(): void {}

  close(): void {
    this.#write();
  }

  #write(): void {
    writeFileSync(this.#file, JSON.stringify(this.seconds));
  }
}
