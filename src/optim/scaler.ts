import { anObject, checkArgument, having } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { checkTensors } from '../tensor/base.ts';
import { type Device, full, gradients, keep, noGrad, scope, type Tensor, zeros } from '../tensor/index.ts';
import { foreachUnscale_, updateScale_ } from '../tensor/ops/foreach.ts';

/** How a {@link LossScaler} goes about it; the defaults are PyTorch's. */
export interface LossScalerOptions {
  /** The first scale; 65,536 unless told. */
  scale?: number;
  /** Its factor after `interval` steps without overflow; 2 unless told. */
  growth?: number;
  /** Its factor after an overflow; 0.5 unless told. */
  backoff?: number;
  /** 2,000 unless told. */
  interval?: number;
}

/** What a {@link LossScaler} needs to go on. */
export interface LossScalerState {
  /** The factor on the loss. */
  readonly scale: number;
  /** Steps since the last overflow or growth. */
  readonly tracker: number;
}

/**
 * Dynamic loss scaling (Micikevicius et al. 2018, §3.2): gradients in float16 are those of a loss that is multiplied by a scale, so that small
 * ones do not vanish. A step whose gradients overflow is skipped and halves the scale. All of it happens on the device, nothing waits.
 */
export class LossScaler {
  readonly #options: { growth: number; backoff: number; interval: number };
  readonly #scale: Tensor;
  readonly #tracker: Tensor;

  constructor(device: Device, options: LossScalerOptions = {}) {
    checkArgument('options', options, anObject);
    const { scale = 65536, growth = 2, backoff = 0.5, interval = 2000 } = options;
    const check = (ok: boolean, name: string, expected: string, value: number): void => {
      if (!ok) throw new ArgumentError(name, expected, String(value));
    };
    check(scale > 0 && Number.isFinite(scale), 'scale', 'a number above 0', scale);
    check(growth > 1, 'growth', 'a number above 1', growth);
    check(backoff > 0 && backoff < 1, 'backoff', 'a number between 0 and 1', backoff);
    check(Number.isInteger(interval) && interval > 0, 'interval', 'a positive integer', interval);
    this.#options = { growth, backoff, interval };
    this.#scale = keep(full([1], scale, { device }));
    this.#tracker = keep(zeros([1], { device, dtype: 'int32' }));
  }

  /** The present scale, a number on the device. */
  get scale(): Tensor {
    return this.#scale;
  }

  /** The loss to call `backward` on. */
  scaled(loss: Tensor): Tensor {
    checkTensors({ loss });
    return loss.mul(this.#scale.view());
  }

  /**
   * Takes the scale off the gradients again.
   * @returns float32 `[1]`: 1 where one of them is not finite, which the optimizer skips, else 0
   */
  unscale(parameters: readonly Tensor[]): Tensor {
    return noGrad(() =>
      scope(() => {
        const found = zeros([1], { device: this.#scale.device });
        const grads = gradients(parameters).filter((gradient) => gradient !== null);
        if (grads.length > 0) foreachUnscale_(grads, found, this.#scale.reciprocal());
        return found;
      }),
    );
  }

  /** Sets the scale for the next step, from what {@link unscale} found in this one. */
  update(found: Tensor): void {
    noGrad(() => updateScale_(this.#scale, this.#tracker, found, this.#options));
  }

  /** The state, which waits for the device. */
  state(): LossScalerState {
    return { scale: this.#scale.item(), tracker: this.#tracker.item() };
  }

  /** Goes on from a state. */
  restore(state: LossScalerState): void {
    checkArgument('state', state, having('scale', 'tracker'));
    const { scale, tracker } = state;
    noGrad(() => {
      this.#scale.fill_(scale);
      this.#tracker.fill_(tracker);
    });
  }

  /** Frees what it keeps on the device. */
  dispose(): void {
    this.#scale.dispose();
    this.#tracker.dispose();
  }
}
