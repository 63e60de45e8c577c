/** How fast a run is: samples a second and the share of waiting for data since the last look, and the time that is left. */
export class Speed {
  #since = 0;
  #samples = 0;
  #seen = 0;
  #steps = 0;
  #waited = 0;
  /** Milliseconds a step, averaged over the last looks. */
  #stepTime: number | null = null;

  /** @param samples seen before */
  start(samples: number): void {
    this.#since = performance.now();
    this.#samples = this.#seen = samples;
  }

  /**
   * A step is over.
   * @param samples seen so far
   * @param waited milliseconds
   */
  add(samples: number, waited: number): void {
    this.#steps += 1;
    this.#samples = samples;
    this.#waited += waited;
  }

  /** Milliseconds that went into something else, such as an evaluation, do not count. */
  pause(milliseconds: number): void {
    this.#since += milliseconds;
  }

  /** @param now when the last step was over */
  look(now: number, stepsLeft: number): { samplesPerSecond: number; dataWait: number; secondsLeft: number } {
    const time = Math.max(1e-3, now - this.#since);
    const mean = time / Math.max(1, this.#steps);
    this.#stepTime = this.#stepTime === null ? mean : 0.9 * this.#stepTime + 0.1 * mean;
    const rates = { samplesPerSecond: (1000 * (this.#samples - this.#seen)) / time, dataWait: Math.min(1, this.#waited / time) };
    this.#since = now;
    this.#seen = this.#samples;
    this.#steps = this.#waited = 0;
    return { ...rates, secondsLeft: (stepsLeft * this.#stepTime) / 1000 };
  }
}
