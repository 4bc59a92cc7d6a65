import { onAbort } from '@adakit/core';

/** Ends waiting when a signal is aborted. */
export class Interruption {
  readonly #signal: AbortSignal | undefined;
  /** Ends what is being waited for. One listener for all of it: a promise that many race with would keep them all. */
  #reject: ((reason: unknown) => void) | undefined;
  readonly #close: (() => void) | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
    this.#close =
      signal &&
      onAbort(signal, () => {
        this.#end();
      });
  }

  /** Whether an error is that of the signal. */
  isReason(error: unknown): boolean {
    return this.#signal?.aborted === true && error === this.#signal.reason;
  }

  /** What a promise comes to. Rejects with the signal's reason where that comes first. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    if (this.#signal === undefined) return promise;
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#reject = reject;
        promise.then(resolve, reject);
        if (this.#signal?.aborted === true) this.#end();
      });
    } finally {
      this.#reject = undefined;
    }
  }

  close(): void {
    this.#close?.();
  }

  #end(): void {
    this.#reject?.(this.#signal?.reason);
  }
}
