import { setImmediate as nextTurn } from 'node:timers/promises';
import { callOperator, type Device, empty, full, keep, noGrad, scope, stack, type Tensor } from '../tensor/index.ts';

/**
 * Numbers of a step that its device may still be at. They are packed into one tensor and sent to the host behind the step's work; who reads
 * them a step later finds them there, and the device was never waited for.
 */
export class LateNumbers {
  readonly #names: readonly string[];
  /** On the host: a number each, and one more, which arrives last. */
  readonly #arrived: Tensor;

  /** Must be called outside of what is recorded for gradients or inside alike; the numbers are taken as they are. */
  constructor(numbers: ReadonlyMap<string, Tensor>, device: Device) {
    this.#names = [...numbers.keys()];
    this.#arrived = noGrad(() =>
      scope(() => {
        const count = numbers.size;
        const packed = stack([...numbers.values()].map((value) => value.detach().float().view()));
        const host = hostMemory(count + 1, device);
        send(host.narrow(0, 0, count), packed);
        send(host.narrow(0, count, 1), full([1], 1, { device }));
        return keep(host);
      }),
    );
  }

  /** The numbers, once they have arrived. They can be read once. */
  async read(): Promise<Map<string, number>> {
    for (;;) {
      const values = this.#arrived.data() as Float32Array;
      if (values[this.#names.length] === 1) {
        this.#arrived.dispose();
        return new Map(this.#names.map((name, i) => [name, values[i] as number]));
      }
      await nextTurn();
    }
  }

  /** Frees them unread. */
  dispose(): void {
    this.#arrived.dispose();
  }
}

/** Memory that an accelerator can write to while the host goes on. */
function hostMemory(count: number, device: Device): Tensor {
  const pageable = empty([count]);
  const host = device === 'cpu' ? pageable : (callOperator('pin_memory', pageable) as Tensor);
  return host.zero_();
}

/** Queues a copy behind the work that the device has. */
function send(target: Tensor, source: Tensor): void {
  callOperator('copy_', target, source, true);
}
