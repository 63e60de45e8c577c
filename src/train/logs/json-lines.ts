import fs from 'node:fs';
import { aNumber, aSize, aString, checkArgument, having, recordOf } from '../../native/arguments.ts';
import { FileError } from '../../native/errors.ts';
import { reasonOf, writeFileAtomically } from '../../native/files.ts';
import type { StepRecord, TrainingLog } from './log.ts';

/**
 * One JSON object a line: `{ "type": "step" | "evaluation" | "message", "time": <ISO 8601>, … }`. A run that goes on takes out what was logged
 * of steps after its checkpoint. Numbers that are not finite are written as `null`.
 */
export class JsonLinesLog implements TrainingLog {
  /** The log's path; its folder must be there. */
  readonly file: string;
  #descriptor: number | null = null;

  constructor(file: string) {
    this.file = file;
  }

  open(step: number): void {
    checkArgument('step', step, aSize);
    if (fs.existsSync(this.file)) writeFileAtomically(this.file, linesUpTo(fs.readFileSync(this.file, 'utf8'), step));
    this.#descriptor = this.#attempt(() => fs.openSync(this.file, 'a'));
  }

  step(record: StepRecord): void {
    checkArgument('record', record, having('step', 'losses', 'statistics'));
    this.#write({ type: 'step', ...record });
  }

  evaluation(step: number, metrics: Readonly<Record<string, number>>): void {
    checkArgument('step', step, aSize);
    checkArgument('metrics', metrics, recordOf(aNumber));
    this.#write({ type: 'evaluation', step, metrics });
  }

  message(text: string): void {
    checkArgument('text', text, aString);
    this.#write({ type: 'message', text });
  }

  close(): void {
    if (this.#descriptor !== null) fs.closeSync(this.#descriptor);
    this.#descriptor = null;
  }

  #write({ type, ...fields }: { readonly type: string; readonly [field: string]: unknown }): void {
    const descriptor = this.#descriptor;
    if (descriptor === null) return;
    const line = `${JSON.stringify({ type, time: new Date().toISOString(), ...fields })}\n`;
    this.#attempt(() => fs.writeSync(descriptor, line));
  }

  #attempt<T>(write: () => T): T {
    try {
      return write();
    } catch (error) {
      throw new FileError(this.file, `cannot be written: ${reasonOf(error)}`, { cause: error });
    }
  }
}

/** The lines of steps up to one, without one that a killed process left unfinished. */
function linesUpTo(text: string, step: number): string {
  const kept: string[] = [];
  for (const line of text.split('\n').slice(0, -1)) {
    try {
      const { step: own } = JSON.parse(line) as { step?: number };
      if (own !== undefined && own > step) break;
      kept.push(`${line}\n`);
    } catch {
      break;
    }
  }
  return kept.join('');
}
