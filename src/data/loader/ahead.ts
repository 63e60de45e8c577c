/** Calls a producer ahead of its consumer: one call at a time, and at most `limit` results wait. */
export class Ahead<T> {
  readonly #produce: () => Promise<T>;
  readonly #limit: number;
  readonly #waiting: Promise<T>[] = [];
  #last: Promise<unknown> = Promise.resolve();

  constructor(limit: number, produce: () => Promise<T>) {
    this.#limit = limit;
    this.#produce = produce;
  }

  /** The next result. A call that failed fails all that follow it. */
  next(): Promise<T> {
    while (this.#waiting.length <= this.#limit) {
      const result = this.#last.then(this.#produce);
      result.catch(() => {}); // it is seen when its turn comes
      this.#last = result;
      this.#waiting.push(result);
    }
    return this.#waiting.shift() as Promise<T>;
  }

  /** Settles when no call is under way any more. */
  async idle(): Promise<void> {
    await this.#last.catch(() => {});
  }
}
