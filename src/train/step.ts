import type { Module } from '../nn/index.ts';
import { type AdamW, clipGradNorm, gradNorm, type LossScaler } from '../optim/index.ts';
import { autocast, backward, type Device, type Dtype, keep, noGrad, scope, stack, type Tensor, zeros } from '../tensor/index.ts';
import { LateNumbers } from './late.ts';
import type { Objective, StepLosses } from './objective.ts';
import { type Finding, firstNonFinite } from './replay.ts';

/** The number format of the matrix products in a step. */
export type Precision = 'float32' | 'bfloat16' | 'float16';

/** What a {@link TrainingStep} works with. */
export interface StepParts<B, P> {
  readonly model: Module;
  readonly objective: Objective<B, P>;
  readonly optimizer: AdamW;
  readonly precision: Precision;
  /** Scales the loss, for float16; null for none. */
  readonly scaler: LossScaler | null;
  /** Largest norm of all gradients together; null for any. */
  readonly clipNorm: number | null;
}

/** Names of the numbers that every step gives beside losses and statistics. */
export const BAD = 'bad';
export const GRADIENT_NORM = 'gradient norm';
export const LOSS_SCALE = 'loss scale';

/** One optimizer step over one or more batches; synchronous, and without a wait for the device. */
export class TrainingStep<B, P> {
  readonly #parts: StepParts<B, P>;
  readonly #trained: readonly Tensor[];
  readonly #device: Device;
  /** 1 once a step was not finite, float32 `[1]`. From then on no step moves anything, so that the bad one can be repeated. */
  readonly #bad: Tensor;

  constructor(parts: StepParts<B, P>, device: Device) {
    this.#parts = parts;
    this.#trained = parts.optimizer.parameters;
    this.#device = device;
    this.#bad = keep(zeros([1], { device }));
  }

  /**
   * Gradients of the batches, clipping, and the optimizer's step. The losses, statistics and norm, by name, arrive later. Losses are
   * named `losses.…`, statistics `statistics.…`.
   */
  run(batches: readonly B[]): LateNumbers {
    const { optimizer, scaler, clipNorm } = this.#parts;
    return scope(() => {
      const numbers = this.#accumulate(batches);
      const overflow = scaler?.unscale(this.#trained);
      const norm = clipNorm === null ? gradNorm(this.#trained) : clipGradNorm(this.#trained, clipNorm);
      this.#watch(numbers.get('losses.loss') as Tensor, norm);
      optimizer.step({ skip: overflow === undefined ? this.#bad : overflow.maximum(this.#bad) });
      optimizer.zeroGrad();
      if (scaler !== null && overflow !== undefined) {
        numbers.set(LOSS_SCALE, scaler.scale.clone());
        scaler.update(overflow);
      }
      numbers.set(GRADIENT_NORM, norm).set(BAD, this.#bad);
      return new LateNumbers(numbers, this.#device);
    });
  }

  /** Backward through every batch's losses; what they were, over all batches. */
  #accumulate(batches: readonly B[]): Map<string, Tensor> {
    const { scaler } = this.#parts;
    const parts = new Map<string, Tensor[]>();
    const add = (name: string, value: Tensor, share: number): void => {
      const part = noGrad(() => value.detach().float().mul(share));
      parts.set(name, [...(parts.get(name) ?? []), part]);
    };
    const shares = this.#shares(batches);
    for (const [i, batch] of batches.entries()) {
      scope(() => {
        const own = shares[i] as Readonly<Record<string, number>>;
        const { loss, losses, statistics = {} } = this.#losses(this.#prepare(batch), own);
        backward([scaler === null ? loss : scaler.scaled(loss)]);
        add('losses.loss', loss, 1);
        for (const [name, value] of Object.entries(losses)) add(`losses.${name}`, value, own[name] ?? 1 / batches.length);
        for (const [name, value] of Object.entries(statistics)) add(`statistics.${name}`, value, 1 / batches.length);
        return [...parts.values()];
      });
    }
    return noGrad(
      () =>
        new Map([...parts].map(([name, values]) => [name, values.length === 1 ? (values[0] as Tensor) : stack(values).sum()])),
    );
  }

  #prepare(batch: B): P {
    return noGrad(() => this.#parts.objective.prepare(batch));
  }

  #losses(prepared: P, shares: Readonly<Record<string, number>>): StepLosses {
    const { objective, precision } = this.#parts;
    const body = (): StepLosses => objective.losses(prepared, shares);
    return precision === 'float32' ? body() : autocast({ device: this.#device, dtype: precision satisfies Dtype }, body);
  }

  /** Of each batch: the part that each of its losses has in the step. */
  #shares(batches: readonly B[]): Record<string, number>[] {
    if (batches.length === 1) return [{}];
    const counts = batches.map((batch) => this.#parts.objective.counts(batch));
    const names = [...new Set(counts.flatMap(Object.keys))];
    const total = (name: string): number => counts.reduce((sum, own) => sum + (own[name] ?? 0), 0);
    const totals = Object.fromEntries(names.map((name) => [name, total(name)]));
    return counts.map((own) =>
      Object.fromEntries(names.map((name) => [name, (own[name] ?? 0) / Math.max(1, totals[name] ?? 0)])),
    );
  }

  /**
   * Raises the flag. With a loss scale, gradients may overflow, for which the scale gives way; only a loss that is not finite, or a scale
   * that nothing is left of, is beyond help.
   */
  #watch(loss: Tensor, norm: Tensor): void {
    const { scaler } = this.#parts;
    noGrad(() => {
      const other = scaler === null ? norm.isfinite() : scaler.scale.ge(2 ** -10);
      const fine = loss.isfinite().logicalAnd(other);
      this.#bad.copy_(this.#bad.maximum(fine.logicalNot().float().view(1)));
    });
  }

  /** Runs a step again and names its first tensor that is not finite. The generators must stand where they stood before it. */
  find(batches: readonly B[]): Finding | null {
    const shares = this.#shares(batches);
    return firstNonFinite({
      model: this.#parts.model,
      batches,
      prepare: (batch) => this.#prepare(batch),
      losses: (prepared, batch) => this.#losses(prepared, shares[batches.indexOf(batch)] ?? {}),
    });
  }

  dispose(): void {
    this.#bad.dispose();
  }
}

/** The device that a module's parameters are on. */
export function deviceOf(model: Module): Device {
  return model.parameters()[0]?.device ?? 'cpu';
}
