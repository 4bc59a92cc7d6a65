import { drive } from './drive.js';
import type { Work } from './work.js';

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
    // What fails at once has an answer, too.
    let answered = !this.busy;
    const begin = async (): Promise<T> => {
      const answer = drive(work());
      answered = !(answer instanceof Promise);
      return answer;
    };
    const result = this.busy ? this.#last.then(begin) : begin();
    if (answered) return result;
    this.#waiting++;
    this.#last = result.then(
      () => this.#waiting--,
      () => this.#waiting--,
    );
    return result;
  }
}
