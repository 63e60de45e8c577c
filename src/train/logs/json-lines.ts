import fs from 'node:fs';
import { aNumber, aSize, aString, checkArgument, having, recordOf } from '../../native/arguments.ts';
import { FileError } from '../../native/errors.ts';
import { reasonOf } from '../../native/files.ts';
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
    if (fs.existsSync(this.file)) this.#attempt(() => cutOff(this.file, step));
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

const PIECE = 2 ** 20;
/** Longer than any line of ours. */
const MAX_LINE = 2 ** 24;

/** Cuts a log off behind the lines of steps up to one, and before a line that a killed process left unfinished. It may be larger than a string can be. */
function cutOff(file: string, step: number): void {
  const descriptor = fs.openSync(file, 'r+');
  try {
    const piece = Buffer.alloc(PIECE);
    let rest: Buffer = Buffer.alloc(0);
    let kept = 0;
    for (let more = true; more && rest.length < MAX_LINE; ) {
      const count = fs.readSync(descriptor, piece, 0, PIECE, kept + rest.length);
      const bytes = Buffer.concat([rest, piece.subarray(0, count)]);
      let from = 0;
      more = count > 0;
      for (let to = bytes.indexOf(0x0a); more && to >= 0; to = bytes.indexOf(0x0a, from)) {
        more = belongs(bytes.toString('utf8', from, to), step);
        if (more) from = to + 1;
      }
      kept += from;
      rest = bytes.subarray(from);
    }
    fs.ftruncateSync(descriptor, kept);
  } finally {
    fs.closeSync(descriptor);
  }
}

/** Whether a line is whole, and of a step up to one if it is of a step. */
function belongs(line: string, step: number): boolean {
  try {
    const { step: own } = JSON.parse(line) as { step?: number };
    return own === undefined || own <= step;
  } catch {
    return false;
  }
}
