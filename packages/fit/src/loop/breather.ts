/** Milliseconds of work after which timers and signals have their turn. */
const INTERVAL = 25;

/** Lets timers, signals and the like have their turn now and then: runtimes compute without giving way. */
export class Breather {
  #last = performance.now();

  /** Whether it is time to {@link breathe}: mostly not, and then nothing has to be waited for. */
  get isDue(): boolean {
    return performance.now() - this.#last >= INTERVAL;
  }

  async breathe(): Promise<void> {
    await new Promise<void>((resolve) => {
      // Browsers have no setImmediate, and wait longer with setTimeout.
      if (typeof setImmediate === 'function') setImmediate(resolve);
      else setTimeout(resolve);
    });
    this.#last = performance.now();
  }
}
