/** What progress is written to: standard error, as a rule. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Milliseconds between two messages. */
const interval = { terminal: 100, log: 5000 };

/** One line that is rewritten on a terminal; elsewhere a line every few seconds. */
export class Progress {
  readonly #stream: ProgressStream;
  readonly #now: () => number;
  #last = -Infinity;

  constructor(stream: ProgressStream = process.stderr, now: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#now = now;
  }

  /** Shows what is going on now, unless something was shown just before. */
  update(text: string): void {
    const terminal = this.#stream.isTTY === true;
    if (this.#now() - this.#last < (terminal ? interval.terminal : interval.log)) return;
    this.#last = this.#now();
    if (terminal) this.#stream.write(`\r\x1b[K${text.slice(0, (this.#stream.columns ?? 80) - 1)}`);
    else this.#stream.write(`${text}\n`);
  }

  /** Says something that stays. */
  say(text: string): void {
    this.clear();
    this.#stream.write(`${text}\n`);
  }

  /** Removes the line from a terminal. */
  clear(): void {
    if (this.#stream.isTTY === true) this.#stream.write('\r\x1b[K');
    this.#last = -Infinity;
  }
}
