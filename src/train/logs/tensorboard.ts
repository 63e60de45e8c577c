import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { aNumber, aSize, checkArgument, having, recordOf } from '../../native/arguments.ts';
import { FileError } from '../../native/errors.ts';
import { makeFolder, reasonOf } from '../../native/files.ts';
import { maskedCrc32c } from './crc32c.ts';
import type { StepRecord, TrainingLog } from './log.ts';
import { content, double, float, integer } from './protobuf.ts';

// Fields of tensorflow.Event, .Summary, .Summary.Value and .SessionLog.
const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const;
const SUMMARY = { value: 1 } as const;
const VALUE = { tag: 1, simpleValue: 2 } as const;
const SESSION_LOG = { status: 1 } as const;
const START = 1;

/**
 * Curves for TensorBoard, one event file a process: `losses/…`, `statistics/…`, `evaluation/…`, `training/…`. A run that goes on tells
 * TensorBoard where, so that it drops what an earlier process wrote of later steps.
 *
 * The file is a series of records (length, its checksum, data, its checksum), each an `Event` in protocol buffers.
 */
export class TensorBoardLog implements TrainingLog {
  /** Where the event files go; made when the run begins. */
  readonly folder: string;
  #descriptor: number | null = null;

  constructor(folder: string) {
    this.folder = folder;
  }

  open(step: number): void {
    checkArgument('step', step, aSize);
    const seconds = String(Math.floor(Date.now() / 1000)).padStart(10, '0');
    let file = path.join(this.folder, `events.out.tfevents.${seconds}.${os.hostname()}.${process.pid}`);
    for (let n = 1; fs.existsSync(file); n++) file = `${file.replace(/\.v\d+$/, '')}.v${n}`;
    this.#attempt(() => makeFolder(this.folder));
    this.#descriptor = this.#attempt(() => fs.openSync(file, 'wx'));
    this.#write(content(EVENT.fileVersion, 'brain.Event:2'));
    // TensorBoard drops what other files say of this step and later ones, also where a run begins anew that was killed before its first checkpoint.
    this.#write(integer(EVENT.step, step + 1), content(EVENT.sessionLog, integer(SESSION_LOG.status, START)));
  }

  step(record: StepRecord): void {
    checkArgument('record', record, having('step', 'losses', 'statistics'));
    const { learningRate, gradientNorm, lossScale, samplesPerSecond, dataWait, memory } = record;
    const training = { learningRate, gradientNorm, lossScale, samplesPerSecond, dataWait, memory };
    this.#scalars(record.step, { losses: record.losses, statistics: record.statistics, training });
  }

  evaluation(step: number, metrics: Readonly<Record<string, number>>): void {
    checkArgument('step', step, aSize);
    checkArgument('metrics', metrics, recordOf(aNumber));
    this.#scalars(step, { evaluation: metrics });
  }

  message(): void {}

  close(): void {
    if (this.#descriptor !== null) fs.closeSync(this.#descriptor);
    this.#descriptor = null;
  }

  #scalars(step: number, groups: Readonly<Record<string, Readonly<Record<string, number | undefined>>>>): void {
    const values = Object.entries(groups).flatMap(([group, numbers]) =>
      Object.entries(numbers).flatMap(([name, value]) => {
        if (value === undefined) return [];
        return [content(SUMMARY.value, content(VALUE.tag, `${group}/${name}`), float(VALUE.simpleValue, value))];
      }),
    );
    this.#write(integer(EVENT.step, step), content(EVENT.summary, ...values));
  }

  #write(...fields: readonly Uint8Array[]): void {
    const descriptor = this.#descriptor;
    if (descriptor === null) return;
    const event = Buffer.concat([double(EVENT.wallTime, Date.now() / 1000), ...fields]);
    this.#attempt(() => fs.writeSync(descriptor, record(event)));
  }

  #attempt<T>(write: () => T): T {
    try {
      return write();
    } catch (error) {
      throw new FileError(this.folder, `cannot be written: ${reasonOf(error)}`, { cause: error });
    }
  }
}

/** A TFRecord. */
function record(data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeBigUInt64LE(BigInt(data.length));
  head.writeUInt32LE(maskedCrc32c(head.subarray(0, 8)), 8);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(maskedCrc32c(data));
  return Buffer.concat([head, data, tail]);
}
