import { type Decodable, Generator, keep, rand, scope, type Tensor, tensor, zeros } from '../../src/index.ts';

/** Which table: see scripts/oracle/decoding.py, whose TableModel this is. */
export interface TableOptions {
  vocabulary: number;
  positions: number;
  seed: number;
  scale: number;
  bonus: number;
  ends: readonly number[];
}

/** The tables of a language model whose logits are table[before, last] + position[length]. */
export class Table {
  readonly table: Tensor;
  readonly position: Tensor;

  constructor({ vocabulary, positions, seed, scale, bonus, ends }: TableOptions) {
    const generator = new Generator(seed);
    this.table = scope(() => rand([vocabulary, vocabulary, vocabulary], { generator }).mul(scale));
    this.position = scope(() => rand([positions, vocabulary], { generator }).mul(2));
    scope(() => {
      for (const end of ends) this.position.narrow(1, end, 1).add_(bonus);
    });
  }

  decode(prompt: readonly (readonly number[])[]): TableModel {
    return new TableModel(this, prompt);
  }

  dispose(): void {
    this.table.dispose();
    this.position.dispose();
  }
}

/** The table as a decoder sees it: every continuation remembers its last two tokens. */
export class TableModel implements Decodable {
  readonly batch: number;
  room = Number.POSITIVE_INFINITY;
  /** For tests: called at the beginning of every step. */
  onStep: (step: number) => void = () => {};
  disposed = false;
  readonly #table: Table;
  readonly #prompt: readonly (readonly number[])[];
  #length: number;
  #steps = 0;
  #stepsLeft = 0;
  /** `[B, W]` int64 each. */
  #before: Tensor | null = null;
  #last: Tensor | null = null;

  constructor(table: Table, prompt: readonly (readonly number[])[]) {
    this.#table = table;
    this.#prompt = prompt;
    this.batch = prompt.length;
    this.#length = prompt[0]?.length ?? 0;
  }

  prefill(width: number, steps: number): Tensor {
    this.#stepsLeft = steps;
    const column = (back: number): Tensor =>
      tensor(
        this.#prompt.map((row) => row[Math.max(0, row.length - back)] as number),
        { dtype: 'int64' },
      );
    const [before, last] = [column(2), column(1)];
    this.#before = keep(before.unsqueeze(1).repeat(1, width));
    this.#last = keep(last.unsqueeze(1).repeat(1, width));
    return this.#logits(before, last);
  }

  step(tokens: Tensor, parents: Tensor | null): Tensor {
    if (this.#stepsLeft-- <= 0) throw new Error('more steps than were announced');
    this.onStep(this.#steps++);
    const [before, last] = [this.#before as Tensor, this.#last as Tensor];
    before.copy_(parents === null ? last : last.gather(1, parents));
    last.copy_(tokens);
    this.#length++;
    return this.#logits(before, last);
  }

  #logits(before: Tensor, last: Tensor): Tensor {
    return this.#table.table.index(before, last).add(this.#table.position.select(0, this.#length));
  }

  dispose(): void {
    this.#before?.dispose();
    this.#last?.dispose();
    this.disposed = true;
  }
}

/** A language model that always gives the same logits `[V]`, whatever came before. */
export class ConstantModel implements Decodable {
  readonly room = Number.POSITIVE_INFINITY;
  readonly batch: number;
  readonly #logits: Tensor;
  #width = 1;

  constructor(batch: number, logits: readonly number[]) {
    this.batch = batch;
    this.#logits = tensor(logits);
  }
  prefill(width: number): Tensor {
    this.#width = width;
    return zeros([this.batch, 1]).add(this.#logits);
  }
  step(): Tensor {
    return zeros([this.batch, this.#width, 1]).add(this.#logits);
  }
  dispose(): void {
    this.#logits.dispose();
  }
}
