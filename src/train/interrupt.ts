/** Notices that the process is asked to end, so that a run can save first. A second request ends it at once. */
export class Interrupt {
  /** What asked: a signal's name, or `'abort'`. */
  reason: string | null = null;
  readonly #controller = new AbortController();
  readonly #abort: AbortSignal | undefined;
  readonly #listeners: readonly (readonly [NodeJS.Signals, () => void])[];
  readonly #notice: (reason: string) => void;
  readonly #aborted = (): void => this.#set('abort');

  /**
   * @param signals whether to listen to SIGINT and SIGTERM
   * @param notice is told at once, as the run may take a while to come to a stop
   */
  constructor(signals: boolean, abort: AbortSignal | undefined, notice: (reason: string) => void) {
    this.#notice = notice;
    this.#abort = abort;
    this.#listeners = (signals ? (['SIGINT', 'SIGTERM'] as const) : []).map((name) => [name, () => this.#set(name)] as const);
    for (const [name, listener] of this.#listeners) process.once(name, listener);
    if (abort?.aborted) this.#aborted();
    abort?.addEventListener('abort', this.#aborted, { once: true });
  }

  /** Is aborted as soon as there is a reason. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  #set(reason: string): void {
    if (this.reason !== null) return;
    this.reason = reason;
    this.#notice(reason);
    this.#controller.abort();
  }

  close(): void {
    for (const [name, listener] of this.#listeners) process.removeListener(name, listener);
    this.#abort?.removeEventListener('abort', this.#aborted);
  }
}
