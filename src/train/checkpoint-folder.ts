import fs from 'node:fs';
import path from 'node:path';
import { aSize, checkArgument } from '../native/arguments.ts';

/** The checkpoints of a run: `step-00001000` and so on, in one folder. */
export class CheckpointFolder {
  /** The folder; it need not be there yet. */
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** The steps that there are checkpoints of, rising. */
  steps(): number[] {
    if (!fs.existsSync(this.directory)) return [];
    const numbers = fs.readdirSync(this.directory).flatMap((name) => /^step-(\d{8,})$/.exec(name)?.[1] ?? []);
    return numbers.map(Number).sort((a, b) => a - b);
  }

  /** Where the checkpoint of a step is, or is to be. */
  at(step: number): string {
    return path.join(this.directory, `step-${String(step).padStart(8, '0')}`);
  }

  /** The last one; null where there is none. */
  latest(): string | null {
    const step = this.steps().at(-1);
    return step === undefined ? null : this.at(step);
  }

  /** Removes what writers that were killed have left behind. */
  sweep(): void {
    if (!fs.existsSync(this.directory)) return;
    for (const name of fs.readdirSync(this.directory)) {
      if (/^\.step-\d+\..*\.tmp$/.test(name)) fs.rmSync(path.join(this.directory, name), { recursive: true, force: true });
    }
  }

  /** Keeps the last `count` and the one of step `best`. */
  prune(count: number, best: number | null): void {
    checkArgument('count', count, aSize);
    const steps = this.steps();
    for (const step of steps.slice(0, Math.max(0, steps.length - count))) if (step !== best) this.remove(step);
  }

  /** Renamed first, so that a checkpoint that is there is always whole. */
  remove(step: number): void {
    const folder = this.at(step);
    if (!fs.existsSync(folder)) return;
    const temporary = path.join(this.directory, `.${path.basename(folder)}.${process.pid}.old.tmp`);
    fs.renameSync(folder, temporary);
    fs.rmSync(temporary, { recursive: true, force: true });
  }
}
