import type { MaybePromise } from '../device/device.js';
import { drive, type Work } from './drive.js';

/** Does one thing after the other, in the order in which they were asked for. */
export class Queue {
  /** Things not finished, and the end of the last of them. */
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** Whether something has not finished. */
  get busy(): boolean {
    return this.#waiting > 0;
  }

  /** The end of what has been asked for so far. */
  get end(): Promise<unknown> {
    return this.#last;
  }

  /**
   * Starts at once where nothing is waiting, so that devices which answer at once have done it when this returns, and
   * nothing waits for it.
   */
  add<T>(work: () => Work<T>): Promise<T> {
    let result: Promise<T>;
    if (this.busy) result = this.#last.then(() => drive(work()));
    else {
      let answer: MaybePromise<T>;
      try {
        answer = drive(work());
      } catch (error) {
        return Promise.reject(error instanceof Error ? error : new Error(String(error)));
      }
      if (!(answer instanceof Promise)) return Promise.resolve(answer);
      result = answer;
    }
    this.#waiting++;
    this.#last = result.then(
      () => this.#waiting--,
      () => this.#waiting--,
    );
    return result;
  }
}
