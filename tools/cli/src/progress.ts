import { oneLine } from './printable.js';

/** What progress is written to: standard error, as a rule. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Milliseconds between two messages, the first of which waits as long too: short work says nothing. */
const INTERVAL = { terminal: 250, log: 10_000 };

/** Says on standard error how far long work is: one line that is rewritten on a terminal, one every few seconds elsewhere. */
export class Progress {
  readonly #stream: ProgressStream;
  readonly #now: () => number;
  #last: number;
  #shown = false;

  constructor(stream: ProgressStream = process.stderr, now: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#now = now;
    this.#last = now();
  }

  update(text: string): void {
    const { isTTY = false, columns = 80 } = this.#stream;
    if (this.#now() - this.#last < (isTTY ? INTERVAL.terminal : INTERVAL.log)) return;
    this.#last = this.#now();
    const line = oneLine(text);
    this.#stream.write(isTTY ? `\r\x1b[K${line.slice(0, columns - 1)}` : `${line}\n`);
    this.#shown = isTTY;
  }

  /** Removes the line from a terminal. */
  clear(): void {
    if (this.#shown) this.#stream.write('\r\x1b[K');
    this.#shown = false;
  }
}

/** Says how far work is. */
export type Say = (text: string) => void;

/** Work that says how far it is. The terminal is clean when it ends, however it does. */
export async function withProgress<T>(work: (say: Say) => Promise<T>, progress = new Progress()): Promise<T> {
  try {
    return await work((text) => {
      progress.update(text);
    });
  } finally {
    progress.clear();
  }
}
