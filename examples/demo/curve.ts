import type { StepRecord, TrainingLog } from 'blip2';

/** Remembers every step. */
export class CurveLog implements TrainingLog {
  readonly records: StepRecord[] = [];
  open(): void {}
  step(record: StepRecord): void {
    this.records.push(record);
  }
  evaluation(): void {}
  message(): void {}
  close(): void {}
}
