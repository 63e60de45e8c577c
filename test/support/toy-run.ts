import {
  AdamW,
  type BatchStream,
  building,
  Dropout,
  Generator,
  Linear,
  Module,
  manualSeed,
  type Objective,
  randn,
  type StepLosses,
  type StepRecord,
  type Tensor,
  Trainer,
  type TrainerOptions,
  type TrainingLog,
} from '../../src/index.ts';
import type { Json } from '../../src/native/files.ts';

/** Two layers with dropout between them. */
export class Toy extends Module {
  readonly inner = new Linear(4, 8);
  readonly dropout: Dropout;
  readonly outer = new Linear(8, 1);

  constructor(dropout = 0.2) {
    super();
    this.dropout = new Dropout(dropout);
  }

  forward(x: Tensor): Tensor {
    return this.outer.forward(this.dropout.forward(this.inner.forward(x).relu()));
  }
}

export interface ToyBatch {
  /** `[B, 4]` */
  readonly x: Tensor;
}

/** Learns the sum of four numbers. */
export class ToyObjective implements Objective<ToyBatch> {
  readonly model: Toy;
  constructor(model: Toy) {
    this.model = model;
  }
  size({ x }: ToyBatch): number {
    return x.size(0);
  }
  counts({ x }: ToyBatch): Record<string, number> {
    return { square: x.size(0) };
  }
  prepare(batch: ToyBatch): ToyBatch {
    return batch;
  }
  losses({ x }: ToyBatch, { square: share = 1 }: Readonly<Record<string, number>>): StepLosses {
    const difference = this.model.forward(x).sub(x.sum(1, true));
    const square = difference.square().mean();
    return { loss: square.mul(share), losses: { square }, statistics: { bias: difference.detach().mean() } };
  }
}

/** Batches of the given sizes, round and round; their number is the state. */
export function numbers(
  sizes: readonly number[] = [8],
  change: (x: Tensor, number: number) => unknown = () => {},
  last = Infinity,
) {
  return (state?: Json): BatchStream<ToyBatch> => {
    let next = (state as number | undefined) ?? 0;
    return {
      async next() {
        if (next === last) return { done: true, value: undefined };
        const number = next++;
        const x = randn([sizes[number % sizes.length] as number, 4], { generator: new Generator(number) });
        change(x, number);
        return { done: false, value: { x } };
      },
      state: () => next,
      close: async () => {},
    };
  };
}

/** Collects what is logged. */
export class Notes implements TrainingLog {
  readonly opened: number[] = [];
  readonly steps: StepRecord[] = [];
  readonly evaluations: [step: number, metrics: Readonly<Record<string, number>>][] = [];
  readonly messages: string[] = [];
  closed = 0;
  open(step: number): void {
    this.opened.push(step);
  }
  step(record: StepRecord): void {
    this.steps.push(record);
  }
  evaluation(step: number, metrics: Readonly<Record<string, number>>): void {
    this.evaluations.push([step, metrics]);
  }
  message(text: string): void {
    this.messages.push(text);
  }
  close(): void {
    this.closed++;
  }
}

interface ToyRun {
  readonly model: Toy;
  readonly notes: Notes;
  readonly trainer: Trainer<ToyBatch>;
}

type ToyOptions = Partial<TrainerOptions<ToyBatch>>;

/** A trainer of a new toy, always of the same weights. */
export function toy(
  directory: string,
  options: ToyOptions | ((run: Omit<ToyRun, 'trainer'>) => ToyOptions) = {},
  dropout = 0.2,
): ToyRun {
  manualSeed(3);
  const model = building({ generator: new Generator(1) }, () => new Toy(dropout));
  const notes = new Notes();
  const given = typeof options === 'function' ? options({ model, notes }) : options;
  const trainer = new Trainer<ToyBatch>({
    model,
    objective: new ToyObjective(model),
    data: numbers(),
    optimizer: given.optimizer ?? new AdamW(model.parameters()),
    schedule: (step) => 1e-2 / (1 + step),
    steps: 12,
    directory,
    logs: [notes],
    signals: false,
    ...given,
  });
  return { model, notes, trainer };
}

/** All weights, as numbers. */
export function weights(model: Module): Record<string, unknown> {
  return Object.fromEntries([...model.stateDict()].map(([name, tensor]) => [name, tensor.toArray()]));
}
